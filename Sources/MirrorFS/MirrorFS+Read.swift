import FuseSession
import Glibc
import KernelCache
import StoreFS
import Syscall
import SystemPackage

extension timespec {
    fileprivate static func <= (left: Self, right: Self) -> Bool {
        (left.tv_sec, left.tv_nsec) <= (right.tv_sec, right.tv_nsec)
    }
}

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
        // Below this size the system calls of splice(2) cost more than the copy.
        if buffer.count >= 1 << 16, !ReservedHandle.contains(handle), !movesAccessTime(node) {
            return .file(FileDescriptor(handle), offset: offset)
        }
        let count = try withDescriptor(node, handle) { (fd) throws(Errno) in
            try Syscall.read(fd, at: offset, into: buffer)
        }
        touched(node)
        return .bytes(count)
    }

    /// Whether reading may change the access time, of which the kernel must be notified before the
    /// reply: the rule of `relatime` (mount(8)).
    private func movesAccessTime(_ node: Node) -> Bool {
        guard options.accessTimes != .none, coherence.usesNativeCaches,
            let status = try? Syscall.status(node.fd)
        else { return false }
        let access = status.st_atim
        return access <= status.st_mtim || access <= status.st_ctim
            || access.tv_sec < time(nil) - 24 * 3600
    }

    /// Reads, and lets the kernel answer the same READ from now on.
    ///
    /// The version is read before and compared after: SOURCE is read without the lock, because a
    /// slow disk would hold it for long.
    private func readPublishing(
        _ node: Node, _ fd: FileDescriptor, _ offset: Int64,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let version = try dataVersion(of: node)
        // Reads whole blocks. Requests for the page cache already are; for others (O_DIRECT) the
        // surrounding blocks are read.
        let skip = Int(offset & Int64(Self.blockSize - 1))
        let isWhole = skip == 0 && buffer.count & (Self.blockSize - 1) == 0
        let whole =
            isWhole
            ? buffer
            : try Syscall.threadBuffer(
                slot: 1,
                size: (skip + buffer.count + Self.blockSize - 1) & ~(Self.blockSize - 1))
        let count = try Syscall.read(fd, at: offset - Int64(skip), into: whole)
        try publishData(
            of: node, at: version, offset: offset - Int64(skip),
            UnsafeRawBufferPointer(rebasing: whole[..<count]))
        if isWhole { return count }
        let wanted = min(max(count - skip, 0), buffer.count)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[skip..<(skip + wanted)]))
        return wanted
    }
}
