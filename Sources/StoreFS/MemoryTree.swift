import FuseSession
import Glibc
import SystemPackage

/// A tree in memory with the rules of POSIX, for servers and tests. A value without locks;
/// nodes are numbered, and the root is 1.
public struct MemoryTree: Sendable {
    public struct Node: Sendable {
        public fileprivate(set) var attributes: NodeAttributes
        /// The entries of a directory.
        public fileprivate(set) var children: [FileName: Int] = [:]
        /// Of a file.
        public fileprivate(set) var data = SparseBytes()
        /// Of a symbolic link.
        public fileprivate(set) var target: [UInt8] = []
        /// The extended attributes.
        public fileprivate(set) var extended: [String: [UInt8]] = [:]
    }

    /// Bytes that a file can have. More: `EFBIG`.
    public static let maxFileSize = Int64(1) << 44

    public private(set) var nodes = [1: Node(attributes: directory(1, 0o755))]
    private var last = 1

    public init() {}

    private static func directory(_ number: Int, _ permissions: mode_t) -> NodeAttributes {
        var attributes = NodeAttributes(
            .directory, inode: UInt64(number), permissions: permissions)
        attributes.links = 2
        attributes.modified = .now
        attributes.changed = attributes.modified
        attributes.accessed = attributes.modified
        return attributes
    }

    /// - Throws: `ESTALE` if the node no longer exists.
    public func node(_ number: Int) throws(Errno) -> Node {
        guard let node = nodes[number] else { throw .staleNFSFileHandle }
        return node
    }

    /// The node with its attributes; nil if there is none.
    public func found(_ number: Int?) -> Found<Int>? {
        number.flatMap { number in nodes[number].map { Found(number, $0.attributes) } }
    }

    /// The node that `name` in `directory` leads to; nil: no such name.
    public func child(_ name: FileName, of directory: Int) throws(Errno) -> Int? {
        try node(directory).children[name]
    }

    /// The names in `directory`.
    public func list(_ directory: Int) throws(Errno) -> [Listed] {
        try node(directory).children.compactMap { name, number in
            nodes[number].map { Listed(name, inode: UInt64(number), kind: $0.attributes.kind) }
        }
    }

    /// What `change` concerns in the current state.
    public func concerns(_ change: Change<Int>) -> [Concern<Int>] {
        func name(_ name: FileName, _ directory: Int) -> [Concern<Int>] {
            let child = nodes[directory]?.children[name]
            return [.name(name, in: directory)] + (child.map { [.attributes($0)] } ?? [])
        }
        return switch change {
        case .make(let new, let directory, _, _), .remove(let new, let directory, _):
            name(new, directory)
        case .link(let node, let new, let directory): name(new, directory) + [.attributes(node)]
        case .rename(let old, let from, let new, let to, _): name(old, from) + name(new, to)
        case .setAttributes(let node, let changes):
            [changes.size == nil ? .attributes(node) : .data(node)]
        case .write(let node, _, _): [.data(node)]
        case .setExtendedAttribute(let node, _, _, _): [.extendedAttributes(node)]
        }
    }

    /// Makes a change, as `Store.apply`.
    /// - Returns: the node that was created, linked or changed.
    @discardableResult
    public mutating func apply(
        _ change: Change<Int>, by caller: Caller
    ) throws(Errno) -> Int? {
        switch change {
        case .make(let name, let directory, let new, let permissions):
            guard try child(name, of: directory) == nil else { throw .fileExists }
            return add(name, to: directory, make(new, permissions, caller, in: try node(directory)))
        case .link(let number, let name, let directory):
            guard try child(name, of: directory) == nil else { throw .fileExists }
            guard try node(number).attributes.links > 0 else { throw .noSuchFileOrDirectory }
            touch(number) { $0.attributes.links += 1 }
            return add(name, to: directory, number)
        case .remove(let name, let directory, let isDirectory):
            guard let number = try child(name, of: directory) else {
                throw .noSuchFileOrDirectory
            }
            try checkRemoval(of: number, isDirectory: isDirectory)
            unlink(name, of: directory)
        case .rename(let old, let from, let new, let to, let mode):
            try rename(old, from, new, to, mode)
        case .setAttributes(let number, let changes):
            _ = try node(number)
            try checkSize(changes.size ?? 0)
            touch(number) { $0.set(changes) }
            return number
        case .write(let number, let data, let offset):
            let end = try node(number).data.count
            let start = offset ?? end
            try checkSize(start)
            try checkSize(start + Int64(data.count))
            touch(number) { $0.write(data, at: start) }
        case .setExtendedAttribute(let number, let name, let value, let mode):
            let isThere = try node(number).extended[name] != nil
            if mode == .creating, isThere { throw .fileExists }
            if mode == .replacing || value == nil, !isThere { throw .noData }
            touch(number) { $0.extended[name] = value }
        }
        return nil
    }

    private func checkSize(_ size: Int64) throws(Errno) {
        guard (0...Self.maxFileSize).contains(size) else { throw .fileTooLarge }
    }

    private mutating func make(
        _ new: NewNode, _ permissions: mode_t, _ caller: Caller, in directory: Node
    ) -> Int {
        last += 1
        var node = Node(attributes: Self.directory(last, permissions))
        switch new {
        case .directory: break
        case .file: node.attributes.kind = .file
        case .special(let type, let device): node.attributes.kind = .special(type, device)
        case .symlink(let target):
            node.attributes.kind = .symlink
            node.target = target
            node.attributes.size = Int64(target.count)
        }
        if node.attributes.kind != .directory { node.attributes.links = 1 }
        (node.attributes.uid, node.attributes.gid) = (caller.uid, caller.gid)
        // inode(7): below a directory with the set-group-ID bit.
        if directory.attributes.permissions & S_ISGID != 0 {
            node.attributes.gid = directory.attributes.gid
            if node.attributes.kind == .directory { node.attributes.permissions |= S_ISGID }
        }
        nodes[last] = node
        return last
    }

    private mutating func rename(
        _ old: FileName, _ from: Int, _ new: FileName, _ to: Int, _ mode: RenameMode
    ) throws(Errno) {
        guard let number = try child(old, of: from) else { throw .noSuchFileOrDirectory }
        let other = try child(new, of: to)
        if mode == .keeping, other != nil { throw .fileExists }
        if other == number, mode != .exchanging { return }
        if mode == .exchanging {
            guard let other else { throw .noSuchFileOrDirectory }
            set(old, of: from, to: other)
            touch(other) { _ in }
        } else {
            if let other {
                let isDirectory = try node(number).attributes.kind == .directory
                try checkRemoval(of: other, isDirectory: isDirectory)
                unlink(new, of: to)
            }
            set(old, of: from, to: nil)
        }
        set(new, of: to, to: number)
        touch(number) { _ in }
    }

    private func checkRemoval(of number: Int, isDirectory: Bool) throws(Errno) {
        let node = try node(number)
        let isOne = node.attributes.kind == .directory
        if isOne, !isDirectory { throw .isDirectory }
        if !isOne, isDirectory { throw .notDirectory }
        if !node.children.isEmpty { throw .directoryNotEmpty }
    }

    private mutating func add(_ name: FileName, to directory: Int, _ number: Int) -> Int {
        set(name, of: directory, to: number)
        return number
    }

    private mutating func unlink(_ name: FileName, of directory: Int) {
        guard let number = nodes[directory]?.children[name] else { return }
        set(name, of: directory, to: nil)
        touch(number) { $0.attributes.links -= $0.attributes.kind == .directory ? 2 : 1 }
    }

    /// Makes `name` lead to another node. Each directory adds a link to its parent.
    private mutating func set(_ name: FileName, of directory: Int, to number: Int?) {
        func links(_ number: Int?) -> Int {
            number.flatMap { nodes[$0] }?.attributes.kind == .directory ? 1 : 0
        }
        let more = links(number) - links(nodes[directory]?.children[name])
        touch(directory) {
            $0.attributes.modified = $0.attributes.changed
            $0.children[name] = number
            $0.attributes.links = UInt64(Int($0.attributes.links) + more)
        }
    }

    /// Removes a node that has no name. The caller ensures that it is not in use.
    public mutating func drop(_ number: Int) {
        if nodes[number]?.attributes.links == 0 { nodes[number] = nil }
    }

    /// Changes a node, and gives it times that it never had before.
    private mutating func touch(_ number: Int, _ change: (inout Node) -> Void) {
        // Taken out, so that what is large in it is changed in place.
        guard var node = nodes.removeValue(forKey: number) else { return }
        let time = Timestamp.now(after: node.attributes.changed)
        node.attributes.changed = time
        change(&node)
        nodes[number] = node
    }
}

extension MemoryTree.Node {
    fileprivate mutating func write(_ bytes: [UInt8], at offset: Int64) {
        data.write(bytes, at: offset)
        attributes.size = data.count
        attributes.modified = attributes.changed
    }

    fileprivate mutating func set(_ changes: AttributeChanges) {
        if let mode = changes.mode { attributes.permissions = mode & 0o7777 }
        if let uid = changes.uid { attributes.uid = uid }
        if let gid = changes.gid { attributes.gid = gid }
        if let size = changes.size {
            data.resize(to: size)
            attributes.size = size
            attributes.modified = attributes.changed
        }
        if let time = changes.accessTime { attributes.accessed = time.stamp(attributes.changed) }
        if let time = changes.modificationTime {
            attributes.modified = time.stamp(attributes.changed)
        }
    }
}

extension AttributeChanges.Time {
    fileprivate func stamp(_ now: Timestamp) -> Timestamp {
        switch self {
        case .now: now
        case .at(let seconds, let nanoseconds):
            Timestamp(seconds: seconds, nanoseconds: nanoseconds)
        }
    }
}
