import CLinux
import Glibc
import SystemPackage

extension Syscall {
    /// `O_PATH`, `O_DIRECT` and `O_NOATIME`, which Swift does not import: glibc defines them only
    /// with _GNU_SOURCE.
    public static let openPath = Int32(LINUX_O_PATH)
    public static let openDirect = Int32(LINUX_O_DIRECT)
    public static let openNoAccessTime = Int32(LINUX_O_NOATIME)

    /// openat(2). `O_CLOEXEC` is always added to `flags`.
    @inlinable
    public static func open(
        at directory: FileDescriptor, _ name: UnsafePointer<CChar>, flags: Int32,
        mode: mode_t = 0
    ) throws(Errno) -> FileDescriptor {
        let fd = try retrying {
            linux_openat(directory.rawValue, name, flags | O_CLOEXEC, mode)
        }
        return FileDescriptor(rawValue: fd)
    }

    /// open(2) relative to the working directory.
    @inlinable
    public static func open(
        _ path: UnsafePointer<CChar>, flags: Int32, mode: mode_t = 0
    ) throws(Errno) -> FileDescriptor {
        try open(at: FileDescriptor(rawValue: AT_FDCWD), path, flags: flags, mode: mode)
    }

    /// fcntl(2), `F_GETFL`: the `O_*` flags with which `fd` is open.
    @inlinable
    public static func openFlags(_ fd: FileDescriptor) throws(Errno) -> Int32 {
        try retrying { fcntl(fd.rawValue, F_GETFL) }
    }

    /// A duplicate of `fd` that execve(2) closes, with the lowest free number from `lowest` on.
    @inlinable
    public static func duplicate(
        _ fd: FileDescriptor, lowest: Int32 = 0
    ) throws(Errno) -> FileDescriptor {
        FileDescriptor(rawValue: try retrying { fcntl(fd.rawValue, F_DUPFD_CLOEXEC, lowest) })
    }

    /// close(2). Ignores errors, for callers that can do nothing about them: on Linux the
    /// descriptor is closed in any case.
    @inlinable
    public static func close(_ fd: FileDescriptor) {
        _ = Glibc.close(fd.rawValue)
    }

    /// Closes a duplicate of `fd` to get the errors that close(2) reports (write-back to a network,
    /// quotas), while `fd` stays open.
    @inlinable
    public static func flush(_ fd: FileDescriptor) throws(Errno) {
        let copy = try retrying { fcntl(fd.rawValue, F_DUPFD_CLOEXEC, 0) }
        // Not retried on EINTR: the descriptor is already closed (close(2), notes).
        if Glibc.close(copy) == -1, errno != EINTR { throw Errno(rawValue: errno) }
    }
}
