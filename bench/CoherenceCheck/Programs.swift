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
    private let reading = UnsafeMutablePointer<sf_read_ctx>.allocate(capacity: 1)
    private(set) var answered = 0
    private(set) var passed = 0

    init(_ cache: KernelCache) {
        self.cache = cache
        request.initialize(to: sf_ctx())
        reading.initialize(to: sf_read_ctx())
    }

    deinit {
        request.deallocate()
        reading.deallocate()
    }

    private static func fill(
        _ request: inout sf_ctx, _ opcode: UInt32, _ node: NodeID,
        _ input: UnsafeRawBufferPointer, outSize: Int
    ) {
        request.opcode = opcode
        request.nodeid = node
        request.in_size = UInt32(input.count)
        request.out_size = UInt32(outSize)
        request.error = 0
        withUnsafeMutableBytes(of: &request.in) { room in
            for index in room.indices { room[index] = 0 }
            room.copyMemory(from: input)
        }
    }

    /// - Returns: false if the program passes.
    /// - Throws: the error that it answers with.
    private func run<Context>(
        _ opcode: UInt32, _ context: UnsafeMutablePointer<Context>, size: Int,
        error: (UnsafeMutablePointer<Context>) -> Int32
    ) throws(Errno) -> Bool {
        let verdict = try cache.run(
            opcode: opcode, context: UnsafeMutableRawBufferPointer(start: context, count: size))
        guard verdict == SF_ANSWER.rawValue else {
            passed += 1
            return false
        }
        answered += 1
        let error = error(context)
        if error != 0 { throw Errno(rawValue: -error) }
        return true
    }

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

    /// READ from the start of the file, block by block as the hook asks.
    /// - Returns: bytes read; nil if the program passes.
    func read(_ node: NodeID, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int? {
        let block = KernelCache.blockSize
        var input = fuse_read_in()
        var done = 0
        reading.pointee.head.cookie = 0
        while done < buffer.count {
            let part = min(buffer.count - done, block)
            input.offset = UInt64(done)
            input.size = UInt32(part)
            withUnsafeBytes(of: &input) {
                Self.fill(&reading.pointee.head, FUSE_READ.rawValue, node, $0, outSize: part)
            }
            guard
                try run(
                    FUSE_READ.rawValue, reading, size: MemoryLayout<sf_read_ctx>.size,
                    error: { $0.pointee.head.error })
            else { return nil }
            let got = Int(reading.pointee.head.out_size)
            withUnsafeBytes(of: &reading.pointee.block) {
                UnsafeMutableRawBufferPointer(rebasing: buffer[done...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: $0[..<got]))
            }
            done += got
            if got < part { break }
        }
        return done
    }

    /// GETXATTR.
    /// - Returns: bytes of the value; nil if the program passes.
    func extendedAttribute(
        _ node: NodeID, _ name: UnsafePointer<CChar>,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int? {
        let header = MemoryLayout<fuse_getxattr_in>.size
        let size = strlen(name) + 1
        guard
            try withUnsafeTemporaryAllocation(
                byteCount: header + size, alignment: 8,
                { (input) throws(Errno) -> Bool in
                    input.storeBytes(
                        of: fuse_getxattr_in(size: UInt32(buffer.count), padding: 0),
                        as: fuse_getxattr_in.self)
                    UnsafeMutableRawBufferPointer(rebasing: input[header...]).copyMemory(
                        from: UnsafeRawBufferPointer(start: name, count: size))
                    Self.fill(
                        &request.pointee, FUSE_GETXATTR.rawValue, node,
                        UnsafeRawBufferPointer(input), outSize: buffer.count)
                    return try run(
                        FUSE_GETXATTR.rawValue, request, size: MemoryLayout<sf_ctx>.size,
                        error: { $0.pointee.error })
                })
        else { return nil }
        let count = Int(request.pointee.out_size)
        withUnsafeBytes(of: &request.pointee.out) {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<count]))
        }
        return count
    }

    private func ask<Reply>(
        _ opcode: UInt32, _ node: NodeID, _ input: UnsafeRawBufferPointer, as: Reply.Type
    ) throws(Errno) -> Reply? {
        Self.fill(
            &request.pointee, opcode, node, input, outSize: MemoryLayout<Reply>.size)
        let isAnswered = try run(
            opcode, request, size: MemoryLayout<sf_ctx>.size, error: { $0.pointee.error })
        guard isAnswered else { return nil }
        return withUnsafeBytes(of: &request.pointee.out) { $0.loadUnaligned(as: Reply.self) }
    }
}
