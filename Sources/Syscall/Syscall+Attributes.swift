import CLinux
import Glibc
import SystemPackage

extension Syscall {
    /// fstat(2), including `O_PATH` descriptors.
    @inlinable
    public static func status(_ fd: FileDescriptor) throws(Errno) -> stat {
        var result = stat()
        try check { fstat(fd.rawValue, &result) }
        return result
    }

    /// fstatat(2) of `name` itself: follows no symlink and triggers no automount.
    @inlinable
    public static func status(
        at directory: FileDescriptor, _ name: UnsafePointer<CChar>
    ) throws(Errno) -> stat {
        var result = stat()
        try check {
            fstatat(
                directory.rawValue, name, &result,
                AT_SYMLINK_NOFOLLOW | Int32(LINUX_AT_NO_AUTOMOUNT))
        }
        return result
    }

    @inlinable
    public static func fileSystemStatus(_ fd: FileDescriptor) throws(Errno) -> statvfs {
        var result = statvfs()
        try check { fstatvfs(fd.rawValue, &result) }
        return result
    }

    /// fchmodat(2): follows symlinks (including those of /proc/self/fd).
    @inlinable
    public static func changeMode(
        at directory: FileDescriptor, _ name: UnsafePointer<CChar>, to mode: mode_t
    ) throws(Errno) {
        try check { fchmodat(directory.rawValue, name, mode, 0) }
    }

    /// fchownat(2) of the file of an `O_PATH` descriptor.
    /// - Parameters: `UInt32.max` leaves an id as it is.
    @inlinable
    public static func changeOwner(
        _ fd: FileDescriptor, uid: uid_t, gid: gid_t
    ) throws(Errno) {
        try check {
            fchownat(
                fd.rawValue, "", uid, gid, Int32(LINUX_AT_EMPTY_PATH) | AT_SYMLINK_NOFOLLOW)
        }
    }

    /// `UTIME_NOW` and `UTIME_OMIT` of utimensat(2).
    public static let timeNow = timespec(tv_sec: 0, tv_nsec: Int(LINUX_UTIME_NOW))
    public static let timeOmitted = timespec(tv_sec: 0, tv_nsec: Int(LINUX_UTIME_OMIT))

    /// utimensat(2) of the file of an `O_PATH` descriptor (Linux 5.8).
    /// - Parameters: may be `timeNow` or `timeOmitted`.
    @inlinable
    public static func changeTimes(
        _ fd: FileDescriptor, access: timespec, modification: timespec
    ) throws(Errno) {
        try check {
            withUnsafeTemporaryAllocation(of: timespec.self, capacity: 2) { times in
                times.initializeElement(at: 0, to: access)
                times.initializeElement(at: 1, to: modification)
                return utimensat(
                    fd.rawValue, "", times.baseAddress, Int32(LINUX_AT_EMPTY_PATH))
            }
        }
    }

    /// `st_dev` of the file at `path`, as the kernel knows it: sends no request to its file system
    /// (statx(2), `AT_STATX_DONT_SYNC`), so a FUSE daemon may use it on its own mount.
    @inlinable
    public static func device(of path: UnsafePointer<CChar>) throws(Errno) -> dev_t {
        var device = dev_t()
        try check { linux_device_of(path, &device) }
        return device
    }

    /// True for a directory of this process's user in which no other user may create names.
    /// - Parameters:
    ///   - status: the attributes of the file or directory: stat(2).
    ///   - sharesSticky: also true if others may create names, but not remove or rename those of
    ///     other users.
    public static func isOwnDirectory(_ status: stat, sharesSticky: Bool = false) -> Bool {
        status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid()
            && (status.st_mode & 0o022 == 0 || sharesSticky && status.st_mode & S_ISVTX != 0)
    }

    /// makedev(3): `st_dev` of a device written as MAJOR:MINOR.
    public static func device(major: UInt32, minor: UInt32) -> dev_t {
        linux_make_device(major, minor)
    }

    /// minor(3).
    public static func minor(of device: dev_t) -> UInt32 {
        linux_device_minor(device)
    }
}
