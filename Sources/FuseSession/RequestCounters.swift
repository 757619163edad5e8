import Synchronization

/// Requests that reached the daemon, by opcode: 64 words of 8 bytes. The memory is the caller's, so
/// that another process can read them in a shared file.
///
/// Counts the requests that libfuse passes on. libfuse itself answers INTERRUPT, and requests that
/// it does not know (STATX, SYNCFS, TMPFILE), which a kernel sends once each.
public struct RequestCounters: @unchecked Sendable {
    // Safe to share: only atomic operations touch the memory.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    public static let byteCount = 64 * 8

    /// - Parameter memory: `byteCount` bytes, 8-byte aligned, that outlive this value and its
    ///   copies. Counting continues from the existing values.
    public init(memory: UnsafeMutableRawPointer) {
        words = memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    public subscript(opcode: Opcode) -> UInt64 {
        words[Int(opcode.rawValue)].load(ordering: .relaxed)
    }

    @inline(__always)
    func count(_ opcode: Opcode) {
        words[Int(opcode.rawValue)].wrappingAdd(1, ordering: .relaxed)
    }
}

/// `enum fuse_opcode` of <linux/fuse.h>.
public enum Opcode: UInt8, CaseIterable, Sendable {
    case lookup = 1
    case forget = 2
    case getattr = 3
    case setattr = 4
    case readlink = 5
    case symlink = 6
    case mknod = 8
    case mkdir = 9
    case unlink = 10
    case rmdir = 11
    case rename = 12
    case link = 13
    case open = 14
    case read = 15
    case write = 16
    case statfs = 17
    case release = 18
    case fsync = 20
    case setxattr = 21
    case getxattr = 22
    case listxattr = 23
    case removexattr = 24
    case flush = 25
    case initialize = 26
    case opendir = 27
    case readdir = 28
    case releasedir = 29
    case fsyncdir = 30
    case access = 34
    case create = 35
    case bmap = 37
    case destroy = 38
    case ioctl = 39
    case poll = 40
    case batchForget = 42
    case fallocate = 43
    case readdirplus = 44
    case rename2 = 45
    case lseek = 46
    case copyFileRange = 47
}
