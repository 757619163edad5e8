import CLinux
import Glibc
import SystemPackage

/// `struct file_handle` of open_by_handle_at(2): leads to a file for as long as it exists, and never
/// to another one.
public struct InodeHandle: Hashable, Sendable {
    /// `handle_bytes`, `handle_type` and `f_handle`.
    let bytes: [UInt8]
    /// As in /proc/self/mountinfo: on which the descriptor was that it was made from; 0 if it was made
    /// from none.
    public let mountID: Int32

    /// Handles of the same file are equal, whatever they were made from.
    public static func == (left: Self, right: Self) -> Bool { left.bytes == right.bytes }
    public func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}

extension Syscall {
    /// name_to_handle_at(2) of what `fd` stands for, `O_PATH` or not.
    /// - Throws: `EOPNOTSUPP` where files have no handles.
    public static func handle(of fd: FileDescriptor) throws(Errno) -> InodeHandle {
        var mountID: Int32 = 0
        var bytes = [UInt8](repeating: 0, count: Int(LINUX_HANDLE_SIZE))
        let count = try retrying { linux_handle_of(fd.rawValue, &bytes, &mountID) }
        return InodeHandle(bytes: Array(bytes[..<Int(count)]), mountID: mountID)
    }

    /// open_by_handle_at(2). Needs `CAP_DAC_READ_SEARCH`.
    /// - Parameter mount: any open file there, not `O_PATH`.
    /// - Throws: `ESTALE` if the file is gone.
    public static func open(
        _ handle: InodeHandle, on mount: FileDescriptor, flags: Int32
    ) throws(Errno) -> FileDescriptor {
        var bytes = handle.bytes
        return FileDescriptor(
            rawValue: try retrying {
                linux_open_by_handle(mount.rawValue, &bytes, flags | O_CLOEXEC)
            })
    }
}
