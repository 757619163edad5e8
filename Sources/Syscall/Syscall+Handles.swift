import CLinux
import Glibc
import SystemPackage

/// `struct file_handle` of open_by_handle_at(2): leads to a file for as long as it exists, and
/// never to another one.
public struct InodeHandle: Hashable, Sendable {
    /// `handle_bytes`, `handle_type` and `f_handle`. Most file systems need at most 16 bytes for
    /// the last. There is one for each parked node, so these are stored without an array.
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

/// Identifies the file of a handle without opening it: that would look for its name and read its
/// directory, which is visible in inotify(7) and in the access time.
extension InodeHandle {
    /// Where a file system puts the inode number in its handles. This is not specified: code that
    /// relies on a place checks for each file that the number is there.
    public struct InodePlace: Sendable {
        /// Bytes from the start of `f_handle`.
        fileprivate let offset: Int
        /// 4 bytes instead of 8.
        fileprivate let isShort: Bool

        fileprivate static let short = Self(offset: 0, isShort: true)
        fileprivate static let long = [0, 4, 8].map { Self(offset: $0, isShort: false) }
    }

    /// The first place where `inode` is; nil if there is none.
    public func place(of inode: UInt64) -> InodePlace? {
        withBytes { handle in
            // With most file systems, 8 bytes are number and generation. Otherwise a short one may
            // be half of a long one.
            let isShort = handle?.loadUnaligned(as: UInt32.self) == 8
            let places =
                isShort ? [.short] + InodePlace.long : InodePlace.long + [.short]
            return places.first { Self.inode(at: $0, of: handle) == inode }
        }
    }

    /// The number at `place`; nil if the handle is too short.
    public func inode(at place: InodePlace) -> UInt64? {
        withBytes { Self.inode(at: place, of: $0) }
    }

    private static func inode(
        at place: InodePlace, of handle: UnsafeMutableRawPointer?
    ) -> UInt64? {
        // After `handle_bytes` and `handle_type`.
        guard let handle, let bytes = Int(exactly: handle.loadUnaligned(as: UInt32.self)),
            place.offset + (place.isShort ? 4 : 8) <= bytes
        else { return nil }
        let at = 8 + place.offset
        return place.isShort
            ? UInt64(handle.loadUnaligned(fromByteOffset: at, as: UInt32.self))
            : handle.loadUnaligned(fromByteOffset: at, as: UInt64.self)
    }
}

extension Syscall {
    /// name_to_handle_at(2) of the file of `fd`, `O_PATH` or not.
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
    /// - Parameters:
    ///   - handle: the file's, from `handle(of:)` or an event of fanotify(7).
    ///   - mount: any open file on the file system, not `O_PATH`.
    ///   - flags: `O_*`; `O_CLOEXEC` is always added.
    /// - Throws: `ESTALE` if the file no longer exists.
    public static func open(
        _ handle: InodeHandle, on mount: FileDescriptor, flags: Int32
    ) throws(Errno) -> FileDescriptor {
        FileDescriptor(
            rawValue: try retrying {
                handle.withBytes { linux_open_by_handle(mount.rawValue, $0, flags | O_CLOEXEC) }
            })
    }
}
