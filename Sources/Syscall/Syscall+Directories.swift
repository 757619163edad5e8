import CLinux
import Glibc
import SystemPackage

/// One entry of getdents64(2).
public struct DirectoryEntry {
    /// NUL-terminated, valid as long as the buffer.
    public let name: UnsafePointer<CChar>
    /// `d_ino`.
    public let inode: UInt64
    /// `d_type` as the type bits of `st_mode`; 0 if the file system does not say.
    public let mode: mode_t
    /// `d_off`: the position at which reading continues after this entry.
    public let next: Int64
}

extension Syscall {
    /// The minimum for `readDirectory`: an entry has 19 bytes, a name of up to 255, a NUL, and
    /// padding to 8.
    public static let directoryBufferMinimum = 280

    /// getdents64(2): calls `body` with the entries that fit into `buffer`, until it returns false.
    /// - Returns: false if there were none: the end of the directory.
    @discardableResult
    public static func readDirectory(
        _ fd: FileDescriptor, using buffer: UnsafeMutableRawBufferPointer,
        _ body: (DirectoryEntry) throws(Errno) -> Bool
    ) throws(Errno) -> Bool {
        let used = try retrying {
            linux_getdents64(fd.rawValue, buffer.baseAddress, buffer.count)
        }
        guard let base = buffer.baseAddress else { return false }
        var position = 0
        while position + Int(LINUX_DIRENT_NAME_OFFSET) < min(used, buffer.count) {
            let header = (base + position).load(as: linux_directory_entry.self)
            let name = base + position + Int(LINUX_DIRENT_NAME_OFFSET)
            // DT_* are the type bits of st_mode, shifted (<dirent.h>, DTTOIF).
            let entry = DirectoryEntry(
                name: name.assumingMemoryBound(to: CChar.self), inode: header.d_ino,
                mode: mode_t(header.d_type) << 12, next: header.d_off)
            guard try body(entry), header.d_reclen > 0 else { break }
            position += Int(header.d_reclen)
        }
        return used > 0
    }
}
