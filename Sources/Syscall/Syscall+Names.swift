import CLinux
import Glibc
import SystemPackage

extension Syscall {
    @inlinable
    public static func makeNode(
        at directory: FileDescriptor, _ name: UnsafePointer<CChar>, mode: mode_t, device: dev_t
    ) throws(Errno) {
        try check { mknodat(directory.rawValue, name, mode, device) }
    }

    @inlinable
    public static func makeDirectory(
        at directory: FileDescriptor, _ name: UnsafePointer<CChar>, mode: mode_t
    ) throws(Errno) {
        try check { mkdirat(directory.rawValue, name, mode) }
    }

    @inlinable
    public static func makeSymlink(
        _ target: UnsafePointer<CChar>, at directory: FileDescriptor,
        _ name: UnsafePointer<CChar>
    ) throws(Errno) {
        try check { symlinkat(target, directory.rawValue, name) }
    }

    /// linkat(2). With `AT_SYMLINK_FOLLOW` in `flags`, links the target of a symlink.
    @inlinable
    public static func makeLink(
        at oldDirectory: FileDescriptor, _ oldName: UnsafePointer<CChar>,
        to newDirectory: FileDescriptor, _ newName: UnsafePointer<CChar>, flags: Int32 = 0
    ) throws(Errno) {
        try check {
            linkat(oldDirectory.rawValue, oldName, newDirectory.rawValue, newName, flags)
        }
    }

    /// unlinkat(2). For a directory, `flags` is `AT_REMOVEDIR`.
    @inlinable
    public static func remove(
        at directory: FileDescriptor, _ name: UnsafePointer<CChar>, flags: Int32 = 0
    ) throws(Errno) {
        try check { unlinkat(directory.rawValue, name, flags) }
    }

    /// `RENAME_WHITEOUT` of renameat2(2).
    public static let renameWhiteout = UInt32(LINUX_RENAME_WHITEOUT)
    /// `RENAME_EXCHANGE`.
    public static let renameExchange = UInt32(LINUX_RENAME_EXCHANGE)

    /// renameat2(2).
    @inlinable
    public static func rename(
        at oldDirectory: FileDescriptor, _ oldName: UnsafePointer<CChar>,
        to newDirectory: FileDescriptor, _ newName: UnsafePointer<CChar>, flags: UInt32 = 0
    ) throws(Errno) {
        try check {
            linux_renameat2(
                oldDirectory.rawValue, oldName, newDirectory.rawValue, newName, flags)
        }
    }

    /// As `readLink`, without changing the symlink's access time: uses a temporary mount with
    /// noatime (open_tree(2), mount_setattr(2), Linux 5.12), since O_NOATIME does not apply to
    /// symlinks. Where this is refused, the time changes.
    public static func readLinkUnnoticed(
        _ fd: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let clone = linux_clone_without_access_times(fd.rawValue)
        guard clone >= 0 else { return try readLink(fd, into: buffer) }
        defer { close(FileDescriptor(rawValue: clone)) }
        return try readLink(FileDescriptor(rawValue: clone), into: buffer)
    }

    /// readlinkat(2) of the symlink of an `O_PATH` descriptor.
    /// - Returns: the number of bytes of the target in `buffer`; no NUL is added.
    @inlinable
    public static func readLink(
        _ fd: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        guard let base = buffer.baseAddress else { throw .invalidArgument }
        return try retrying {
            readlinkat(
                fd.rawValue, "", base.assumingMemoryBound(to: CChar.self), buffer.count)
        }
    }
}
