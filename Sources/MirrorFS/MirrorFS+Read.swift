import FuseSession
import Glibc
import KernelCache
import Syscall
import SystemPackage

extension MirrorFS {
    /// Bytes in a block of cached data.
    private static let blockSize = KernelCache.blockSize

    public func read(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, offset: Int64,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> ReadResult {
        let node = try node(id)
        if coherence.isAccelerated {
            return try withDescriptor(node, handle) { (fd) throws(Errno) in
                .bytes(try readPublishing(node, fd, offset, into: buffer))
            }
        }
        let fd = FileDescriptor(handle)
        // Below this size the system calls of splice(2) cost more than the copy.
        if buffer.count >= 1 << 16 { return .file(fd, offset: offset) }
        return .bytes(try Syscall.read(fd, at: offset, into: buffer))
    }

    /// Reads, and lets the kernel answer the same from now on.
    ///
    /// The version is taken before and compared after: SOURCE is read without the lock, which a slow
    /// disk would hold for long.
    private func readPublishing(
        _ node: Node, _ fd: FileDescriptor, _ offset: Int64,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let version = try coherence.withNode(node.lockKey) { (_) throws(Errno) in
            node.versions.version
        }
        // Whole blocks. What the kernel wants for its page cache is; of the rest (O_DIRECT) the
        // blocks around it are read.
        let skip = Int(offset & Int64(Self.blockSize - 1))
        let isWhole = skip == 0 && buffer.count & (Self.blockSize - 1) == 0
        let whole =
            isWhole
            ? buffer
            : try Syscall.threadBuffer(
                slot: 1,
                size: (skip + buffer.count + Self.blockSize - 1) & ~(Self.blockSize - 1))
        let count = try Syscall.read(fd, at: offset - Int64(skip), into: whole)
        try coherence.withNode(node.lockKey) { (hold) throws(Errno) in
            // Also because reading changes the access time.
            let status = try publish(hold, node)
            guard node.isKnown.load(ordering: .relaxed), status.st_mode & S_IFMT == S_IFREG,
                status.st_size <= coherence.fileMax
            else { return }
            // A part of a block counts only if the file ends in it.
            let isEnd = offset - Int64(skip) + Int64(count) == Int64(status.st_size)
            let complete = isEnd ? count : count & ~(Self.blockSize - 1)
            hold.publishData(
                nodeid: node.id, at: version, node.versions, offset: offset - Int64(skip),
                bytes: UnsafeRawBufferPointer(rebasing: whole[..<complete]))
        }
        if isWhole { return count }
        let wanted = min(max(count - skip, 0), buffer.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[skip..<(skip + wanted)]))
        return wanted
    }
}
