import FuseSession
import Glibc
import Syscall
import SystemPackage

/// Open flags of the kernel's requests and for SOURCE.
enum Flag {
    static let path = Syscall.openPath
    static let noAccessTime = Syscall.openNoAccessTime
    /// The kernel's O_LARGEFILE, which is 0 to 64-bit programs.
    static let largeFile: Int32 = 0o100000

    /// The flags for opening SOURCE's file, from those of a request.
    static func forSource(_ flags: Int32) -> Int32 {
        // O_NOFOLLOW: nodes are opened through /proc/self/fd, which is a link; the kernel has
        // resolved the caller's path. O_DIRECT: the mount bypasses its own page cache, but the
        // daemon's buffers are not aligned as SOURCE may require. O_APPEND: pwrite(2) would append
        // whatever the offset, even pages of a mapping and writes after F_SETFL; each WRITE
        // says whether it appends.
        flags & ~(O_NOFOLLOW | Syscall.openDirect | O_APPEND)
    }
}

extension FileDescriptor {
    /// `AT_FDCWD`, for absolute paths.
    static let workingDirectory = FileDescriptor(rawValue: AT_FDCWD)

    init(_ handle: FileHandle) {
        self.init(rawValue: Int32(truncatingIfNeeded: handle))
    }
}

extension FileHandle {
    /// The handle of an open file is its descriptor's number.
    init(_ fd: FileDescriptor) {
        self = UInt64(UInt32(bitPattern: fd.rawValue))
    }
}
