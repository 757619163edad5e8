import CShortfuseABI
import FuseSession
import Glibc
import KernelCache
import Logging
import MirrorFS
import Synchronization
import SystemPackage

/// A mirror with a real kernel cache, without module and mount. The clients are the kernel: they put
/// each question to the BPF programs, and to the mirror only if those pass.
final class Programs: Sendable {
    let nodes = NodeTable()
    let cache: KernelCache
    let mirror: MirrorFS
    let directories: [NodeID]
    /// Of `Layout.File`.
    let files: [NodeID]
    let answered = Atomic(0)
    let passed = Atomic(0)

    static var context: RequestContext { RequestContext(uid: geteuid(), gid: getegid()) }

    /// - Parameter directory: SOURCE, with the layout made.
    init(_ directory: String) throws {
        // The least there can be, so that nodes fight for slots and elements are reused.
        let cache = try KernelCache(
            options: .init(slots: 64, names: 64), logger: Logger(label: "coherence-check"),
            ledger: { [nodes] in nodes.credit(nodeid: $0, lookups: $1) })
        let mirror = try MirrorFS(
            source: FilePath(directory), nodes: nodes, coherence: Coherence(cache: cache))
        self.cache = cache
        self.mirror = mirror
        let context = Self.context
        func find(_ name: String) throws -> NodeID {
            try mirror.lookup(context, parent: rootNodeID, name: name).nodeID
        }
        directories = try Layout.directories.map(find)
        files = try Layout.File.allCases.map { try find($0.name) }
    }

    /// Gives back what `init` looked up. Returns how many nodes are left besides the root: none, if
    /// all lookups were counted right.
    func close() -> Int {
        for node in directories + files { mirror.forget(node: node, count: 1) }
        return nodes.count - 1
    }
}

extension Status {
    init(_ attributes: fuse_attr) {
        var status = stat()
        status.st_ino = ino_t(attributes.ino)
        status.st_nlink = nlink_t(attributes.nlink)
        status.st_size = off_t(attributes.size)
        status.st_mode = attributes.mode
        status.st_uid = attributes.uid
        status.st_mtim = timespec(
            tv_sec: Int(attributes.mtime), tv_nsec: Int(attributes.mtimensec))
        status.st_ctim = timespec(
            tv_sec: Int(attributes.ctime), tv_nsec: Int(attributes.ctimensec))
        self.init(status)
    }
}

/// Runs the programs on requests, as the hook would. One per thread.
final class Asker {
    private let cache: KernelCache
    private let request = UnsafeMutablePointer<sf_ctx>.allocate(capacity: 1)
    private(set) var answered = 0
    private(set) var passed = 0

    init(_ cache: KernelCache) {
        self.cache = cache
        request.initialize(to: sf_ctx())
    }

    deinit { request.deallocate() }

    /// - Returns: nil if the program passes.
    func lookup(
        _ parent: NodeID, _ name: UnsafePointer<CChar>
    ) throws(Errno) -> fuse_entry_out? {
        // With the NUL.
        let input = UnsafeRawBufferPointer(start: name, count: strlen(name) + 1)
        return try ask(FUSE_LOOKUP.rawValue, parent, input, as: fuse_entry_out.self)
    }

    /// - Returns: nil if the program passes.
    func attributes(_ node: NodeID) throws(Errno) -> fuse_attr? {
        var input = fuse_getattr_in()
        return try withUnsafeBytes(of: &input) { (input) throws(Errno) in
            try ask(FUSE_GETATTR.rawValue, node, input, as: fuse_attr_out.self)?.attr
        }
    }

    private func ask<Reply>(
        _ opcode: UInt32, _ node: NodeID, _ input: UnsafeRawBufferPointer, as: Reply.Type
    ) throws(Errno) -> Reply? {
        request.pointee.opcode = opcode
        request.pointee.nodeid = node
        request.pointee.in_size = UInt32(input.count)
        request.pointee.out_size = UInt32(MemoryLayout<Reply>.size)
        withUnsafeMutableBytes(of: &request.pointee.in) { room in
            memset(room.baseAddress!, 0, room.count)
            room.copyMemory(from: input)
        }
        let verdict = try cache.run(
            opcode: opcode,
            context: UnsafeMutableRawBufferPointer(
                start: request, count: MemoryLayout<sf_ctx>.size))
        guard verdict == SF_ANSWER.rawValue else {
            passed += 1
            return nil
        }
        answered += 1
        if request.pointee.error != 0 { throw Errno(rawValue: -request.pointee.error) }
        return withUnsafeBytes(of: &request.pointee.out) { $0.loadUnaligned(as: Reply.self) }
    }
}
