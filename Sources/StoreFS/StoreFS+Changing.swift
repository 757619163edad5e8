import FuseSession
import Glibc
import KernelCache
import SystemPackage

/// Drops what is kept of everything that a change concerns, has the store make the change, and then
/// replies to the kernel. Nothing of it is kept in between: see `ChangeClock`.
extension StoreFS {
    /// What is void until the change has ended.
    private struct Scope {
        var nodes: [(id: S.ID, scope: ChangeScope)] = []
        var names: [(directory: Node, name: FileName)] = []
        /// The file that loses one of several names.
        var losing: (id: S.ID, directory: Node)?
    }

    func change(_ request: FileRequest, by caller: Caller) async throws(Errno) -> FileReply {
        switch request {
        case .setAttributes(let id, let changes):
            let node = try node(id)
            var scope: ChangeScope = []
            if changes.size != nil { scope.insert(.data) }
            let status = try await made(
                .setAttributes(node.id, changes), by: caller,
                Scope(nodes: [(node.id, scope)])
            ).attributes.status
            // Not to be kept: some kernels apply it whatever notifications they got meanwhile.
            return .attributes(Attributes(status))
        case .makeNode(let parent, let name, let mode, let device):
            let type = mode & S_IFMT
            let new: NewNode = type == S_IFREG || type == 0 ? .file : .special(type, device)
            return try await make(name, in: parent, new, mode, by: caller)
        case .makeDirectory(let parent, let name, let mode):
            return try await make(name, in: parent, .directory, mode, by: caller)
        case .makeSymlink(let parent, let name, let target):
            return try await make(name, in: parent, .symlink(target: target), 0o777, by: caller)
        case .create(let parent, let name, let mode, let flags):
            return try await create(name, in: parent, mode, flags, by: caller)
        case .makeLink(let id, let parent, let name):
            let (node, parent) = (try node(id), try self.node(parent))
            let scope = Scope(
                nodes: [(node.id, []), (parent.id, .names)], names: [(parent, name)])
            return .entry(
                entry(try await made(.link(node.id, as: name, in: parent.id), by: caller, scope)))
        case .removeFile(let parent, let name):
            return try await remove(name, in: try node(parent), isDirectory: false, by: caller)
        case .removeDirectory(let parent, let name):
            return try await remove(name, in: try node(parent), isDirectory: true, by: caller)
        case .rename(let parent, let name, let newParent, let newName, let flags):
            return try await rename(
                (try node(parent), name), to: (try node(newParent), newName), flags, by: caller)
        case .write(let id, let offset, let appends, let bytes):
            return .count(
                try await write(bytes, to: try node(id), at: appends ? nil : offset, by: caller))
        case .setExtendedAttribute(let id, let name, let value, let flags):
            // XATTR_CREATE and XATTR_REPLACE of <linux/xattr.h>.
            let mode: XattrMode = flags & 1 != 0 ? .creating : flags & 2 != 0 ? .replacing : .any
            return try await setExtendedAttribute(name, of: id, to: value, mode, by: caller)
        case .removeExtendedAttribute(let id, let name):
            return try await setExtendedAttribute(name, of: id, to: nil, .replacing, by: caller)
        default: throw .noFunction
        }
    }

    private func make(
        _ name: FileName, in parent: NodeID, _ new: NewNode, _ mode: mode_t, by caller: Caller
    ) async throws(Errno) -> FileReply {
        .entry(try await makeEntry(name, in: try node(parent), new, mode, by: caller))
    }

    private func makeEntry(
        _ name: FileName, in parent: Node, _ new: NewNode, _ mode: mode_t, by caller: Caller
    ) async throws(Errno) -> Entry {
        let change = Change.make(name, in: parent.id, new, permissions: mode & 0o7777)
        let scope = Scope(nodes: [(parent.id, .names)], names: [(parent, name)])
        return entry(try await made(change, by: caller, scope))
    }

    /// The kernel found no such name; it may have been created elsewhere since.
    private func create(
        _ name: FileName, in parent: NodeID, _ mode: mode_t, _ flags: Int32, by caller: Caller
    ) async throws(Errno) -> FileReply {
        let parent = try node(parent)
        var file = OpenFile(handle: 0)
        file.keepsCache = true
        do throws(Errno) {
            return .created(
                try await makeEntry(name, in: parent, .file, mode, by: caller), file)
        } catch {
            guard error == .fileExists, flags & O_EXCL == 0 else { throw error }
        }
        var entry = try await find(name, in: parent)
        guard entry.nodeID != 0 else { throw .noSuchFileOrDirectory }
        do throws(Errno) {
            if flags & O_TRUNC != 0 {
                let node = try node(entry.nodeID)
                var changes = AttributeChanges()
                changes.size = 0
                let made = try await made(
                    .setAttributes(node.id, changes), by: caller,
                    Scope(nodes: [(node.id, .data)]))
                entry = Entry(nodeID: entry.nodeID, attributes: made.attributes.status)
            }
        } catch {
            forget(node: entry.nodeID, count: 1)
            throw error
        }
        return .created(entry, file)
    }

    private func remove(
        _ name: FileName, in parent: Node, isDirectory: Bool, by caller: Caller
    ) async throws(Errno) -> FileReply {
        var scope = Scope(nodes: [(parent.id, .names)], names: [(parent, name)])
        if let victim = try await store.find(name, in: parent.id).value {
            store.forget(victim.id, times: 1)
            scope.nodes.append((victim.id, []))
            if victim.attributes.links > 1, !isDirectory { scope.losing = (victim.id, parent) }
        }
        _ = try await apply(
            .remove(name, in: parent.id, isDirectory: isDirectory), by: caller, scope)
        return .done
    }

    private func rename(
        _ old: (directory: Node, name: FileName), to new: (directory: Node, name: FileName),
        _ flags: UInt32, by caller: Caller
    ) async throws(Errno) -> FileReply {
        let mode: RenameMode
        switch flags {
        case 0: mode = .replacing
        case 1: mode = .keeping  // RENAME_NOREPLACE
        case 2: mode = .exchanging  // RENAME_EXCHANGE
        default: throw .invalidArgument
        }
        var scope = Scope(
            nodes: [(old.directory.id, .names), (new.directory.id, .names)], names: [old, new])
        // A directory with a new parent has a new "..".
        let moves = old.directory.id != new.directory.id
        for place in [old, new] {
            let found = try await store.find(place.name, in: place.directory.id).value
            guard let found else { continue }
            store.forget(found.id, times: 1)
            let isDirectory = found.attributes.kind == .directory
            scope.nodes.append((found.id, moves && isDirectory ? .names : []))
            let isLast = place.directory.id == new.directory.id && place.name == new.name
            if mode == .replacing, isLast, !isDirectory, found.attributes.links > 1 {
                scope.losing = (found.id, new.directory)
            }
        }
        let change = Change.rename(
            old.name, in: old.directory.id, to: new.name, under: new.directory.id, mode)
        _ = try await apply(change, by: caller, scope)
        return .done
    }

    private func write(
        _ bytes: [UInt8], to node: Node, at offset: Int64?, by caller: Caller
    ) async throws(Errno) -> Int {
        let readsBefore = node.readsBegun.load(ordering: .sequentiallyConsistent)
        let met = node.readsUnderWay.load(ordering: .sequentiallyConsistent) > 0
        defer {
            // A page that was dropped under the write may have been read again with the old data
            // (docs/coherence.md, hazard 9). And if others appended, too, the kernel has put these bytes
            // where it assumed the end of the file.
            let reads = node.readsBegun.load(ordering: .sequentiallyConsistent)
            if met || reads != readsBefore || offset == nil { dropPages(of: node) }
        }
        _ = try await apply(
            .write(node.id, bytes, at: offset), by: caller, Scope(nodes: [(node.id, .data)]))
        return bytes.count
    }

    private func setExtendedAttribute(
        _ name: String, of id: NodeID, to value: [UInt8]?, _ mode: XattrMode, by caller: Caller
    ) async throws(Errno) -> FileReply {
        let node = try node(id)
        _ = try await apply(
            .setExtendedAttribute(node.id, name, to: value, mode), by: caller,
            Scope(nodes: [(node.id, .xattrs)]))
        return .done
    }

    /// - Throws: `EIO` if the store does not return the node.
    private func made(
        _ change: Change<S.ID>, by caller: Caller, _ scope: Scope
    ) async throws(Errno) -> Found<S.ID> {
        guard let found = try await apply(change, by: caller, scope) else { throw .ioError }
        return found
    }

    /// The reply to a request that adds a name. Nothing of it is kept: the kernel looks it up again.
    private func entry(_ found: Found<S.ID>) -> Entry {
        let (node, _) = nodes.grant(found.id)
        return Entry(nodeID: node.nodeid, attributes: found.attributes.status)
    }

    // MARK: The order

    private func apply(
        _ change: Change<S.ID>, by caller: Caller, _ scope: Scope
    ) async throws(Errno) -> Found<S.ID>? {
        let removal = try begin(scope)
        let result: Result<Found<S.ID>?, Errno>
        do throws(Errno) {
            result = .success(try await store.apply(change, by: caller))
        } catch {
            result = .failure(error)
        }
        end(scope)
        if let removal {
            // The kernel holds the directory until it has applied the reply.
            whenFree(removal.directory.nodeid) { [self] in
                try? coherence.withNode(key(removal.node.id)) { (hold) throws(Errno) in
                    hold.endRemoval(nodeid: removal.node.nodeid, &removal.node.versions)
                }
            }
        }
        return try result.get()
    }

    private struct Removal {
        let node: Node
        let directory: Node
    }

    private func begin(_ scope: Scope) throws(Errno) -> Removal? {
        for (directory, name) in scope.names { try revoke(name, in: directory) }
        var removal: Removal?
        for (id, what) in scope.nodes {
            try coherence.withNode(key(id)) { (hold) throws(Errno) in
                clock.begin(key(id))
                guard let node = nodes.node(id) else { return }
                hold.begin(what, nodeid: node.nodeid, &node.versions)
                if let losing = scope.losing, losing.id == id, removal == nil,
                    hold.beginRemoval(&node.versions)
                {
                    removal = Removal(node: node, directory: losing.directory)
                }
            }
        }
        return removal
    }

    private func end(_ scope: Scope) {
        for (id, _) in scope.nodes { clock.end(key(id)) }
        for (directory, name) in scope.names { clock.end(key(name, in: directory.id)) }
    }

    private func revoke(_ name: FileName, in directory: Node) throws(Errno) {
        try coherence.withNames(of: directory.nodeid) { (names) throws(Errno) in
            clock.begin(key(name, in: directory.id))
            name.withCString { names.revoke(parent: directory.nodeid, name: $0) }
        }
    }
}
