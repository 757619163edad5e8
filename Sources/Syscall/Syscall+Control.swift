import CLinux
import Glibc
import SystemPackage

/// The file attributes that lsattr(1) and xfs_io(8) show: ioctl_iflags(2), ioctl_xfs_fsgetxattr(2).
extension Syscall {
    /// The file that aborts FUSE connection `number` (the minor number of its `st_dev`) when something is
    /// written to it, and never another one that gets the same number later: all requests end with
    /// `ECONNABORTED`, all later ones with `ENOTCONN`. In the control file system
    /// (Documentation/filesystems/fuse.rst); only an ordinary user needs it mounted.
    /// - Throws: `ENOENT` without such a connection; `EPERM`, `ENODEV` without the control file system.
    public static func openFuseAbort(_ number: UInt32) throws(Errno) -> FileDescriptor {
        let control = Descriptor(owning: try openFuseControl())
        return try open(at: control.fd, "\(number)/abort", flags: O_WRONLY)
    }

    private static func openFuseControl() throws(Errno) -> FileDescriptor {
        do throws(Errno) {
            return FileDescriptor(rawValue: try retrying { linux_open_fuse_control() })
        } catch {
            guard error == .notPermitted else { throw error }
            return try open("/sys/fs/fuse/connections", flags: O_RDONLY | O_DIRECTORY)
        }
    }

    /// `FS_IOC_GETFLAGS` and `FS_IOC_SETFLAGS`: `FS_*_FL`, four bytes whatever size the number
    /// encodes.
    public static let getInodeFlags = UInt32(LINUX_FS_IOC_GETFLAGS)
    public static let setInodeFlags = UInt32(LINUX_FS_IOC_SETFLAGS)
    /// `FS_IOC_FSGETXATTR` and `FS_IOC_FSSETXATTR`: `struct fsxattr`.
    public static let getExtendedFlags = UInt32(LINUX_FS_IOC_FSGETXATTR)
    public static let setExtendedFlags = UInt32(LINUX_FS_IOC_FSSETXATTR)

    /// ioctl(2) on `fd`. `argument` points to as many bytes as `command` requires.
    @inlinable
    public static func control(
        _ fd: FileDescriptor, command: UInt32, argument: UnsafeMutableRawPointer
    ) throws(Errno) {
        try check { linux_ioctl(fd.rawValue, UInt(command), argument) }
    }
}
