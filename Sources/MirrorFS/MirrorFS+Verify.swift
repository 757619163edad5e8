import FuseSession
import Glibc
import KernelCache
import StoreFS
import Syscall
import SystemPackage

extension MirrorFS {
    /// As `startVerification` of `LocalFileSystem`.
    public func verify(rate: Int) throws(Errno) { try startVerification(rate: rate) }

    package func withReader<R>(
        of node: Node,
        _ body: ((_ index: UInt64) throws(Errno) -> UnsafeRawBufferPointer) throws(Errno) -> R
    ) throws(Errno) -> R {
        // Without O_NOATIME each comparison would change SOURCE's access time.
        let fd = try reopen(node, flags: O_RDONLY | Flag.noAccessTime)
        defer { Syscall.close(fd) }
        let buffer = try Syscall.threadBuffer(slot: 1, size: KernelCache.blockSize)
        return try body { (index) throws(Errno) in
            let offset = Int64(bitPattern: index) &* Int64(KernelCache.blockSize)
            let count = try Syscall.read(fd, at: offset, into: buffer)
            return UnsafeRawBufferPointer(rebasing: buffer[..<count])
        }
    }
}
