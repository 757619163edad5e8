import CLinux
import Glibc
import SystemPackage

/// `struct file_handle` of open_by_handle_at(2): leads to a file for as long as it exists, and never
/// to another one.
public struct InodeHandle: Hashable, Sendable {
    /// `handle_bytes`, `handle_type` and `f_handle`. Most file systems need no more than 16 bytes for
    /// the last: there is one for each parked node, so those are kept without an array.
    private enum Bytes: Hashable {
        case few(UInt64, UInt64, UInt64)
        case many([UInt8])
    }

    private let bytes: Bytes

    init(_ handle: UnsafeRawBufferPointer) {
        var words: (UInt64, UInt64, UInt64) = (0, 0, 0)
        let fits = withUnsafeMutableBytes(of: &words) { room in
            guard handle.count <= room.count else { return false }
            room.copyMemory(from: handle)
            return true
        }
        bytes = fits ? .few(words.0, words.1, words.2) : .many(Array(handle))
    }

    fileprivate func withBytes<Result>(_ body: (UnsafeMutableRawPointer?) -> Result) -> Result {
        switch bytes {
        case .few(let first, let second, let third):
            var words = (first, second, third)
            return withUnsafeMutableBytes(of: &words) { body($0.baseAddress) }
        case .many(var all):
            return all.withUnsafeMutableBytes { body($0.baseAddress) }
        }
    }
}

extension Syscall {
    /// name_to_handle_at(2) of what `fd` stands for, `O_PATH` or not.
    /// - Returns: the handle and, as in /proc/self/mountinfo, the mount that `fd` is on.
    /// - Throws: `EOPNOTSUPP` where files have no handles.
    public static func handle(
        of fd: FileDescriptor
    ) throws(Errno) -> (handle: InodeHandle, mountID: Int32) {
        var mountID: Int32 = 0
        var bytes = [UInt8](repeating: 0, count: Int(LINUX_HANDLE_SIZE))
        let count = try retrying { linux_handle_of(fd.rawValue, &bytes, &mountID) }
        let handle = bytes.withUnsafeBytes {
            InodeHandle(UnsafeRawBufferPointer(rebasing: $0[..<Int(count)]))
        }
        return (handle, mountID)
    }

    /// open_by_handle_at(2). Needs `CAP_DAC_READ_SEARCH`.
    /// - Parameter mount: any open file there, not `O_PATH`.
    /// - Throws: `ESTALE` if the file is gone.
    public static func open(
        _ handle: InodeHandle, on mount: FileDescriptor, flags: Int32
    ) throws(Errno) -> FileDescriptor {
        FileDescriptor(
            rawValue: try retrying {
                handle.withBytes { linux_open_by_handle(mount.rawValue, $0, flags | O_CLOEXEC) }
            })
    }
}
