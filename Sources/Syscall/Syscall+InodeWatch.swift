import Glibc
import SystemPackage

/// An event of a file with its own watch (inotify(7)).
public struct InodeEvent {
    public var kind: WatchEvent.Kind
    /// The number that `Syscall.watch(inode:_:with:)` returned; -1 for an overflow.
    public var watch: Int32
    /// Bytes and a NUL, in the buffer that the event was read into; nil if the event concerns the
    /// watched file itself, not a file in it.
    public var name: UnsafePointer<CChar>?
}

extension Syscall {
    /// inotify_init1(2): does not block.
    /// - Throws: `EMFILE` if the user has too many (fs.inotify.max_user_instances).
    public static func makeInodeWatch() throws(Errno) -> FileDescriptor {
        FileDescriptor(
            rawValue: try retrying { inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK)) })
    }

    /// inotify_add_watch(2): from now on the queue reports events of the file of `fd`.
    /// - Returns: its number in the queue's events; the same for the same file.
    /// - Throws: `ENOSPC` if the user has too many (fs.inotify.max_user_watches).
    public static func watch(
        inode fd: FileDescriptor, _ kinds: WatchEvent.Kind, with queue: FileDescriptor
    ) throws(Errno) -> Int32 {
        try DescriptorPath(fd).withPointer { (path) throws(Errno) in
            try retrying {
                inotify_add_watch(
                    queue.rawValue, path, UInt32(truncatingIfNeeded: kinds.rawValue))
            }
        }
    }

    /// inotify_rm_watch(2); does nothing if the number no longer exists.
    public static func unwatch(_ watch: Int32, with queue: FileDescriptor) {
        _ = inotify_rm_watch(queue.rawValue, watch)
    }

    /// Reads events as far as they fit into `buffer` (4096 bytes or more) and passes each to
    /// `body`.
    /// - Returns: false if there were none.
    /// - Throws: `EPROTO` for events that it cannot parse.
    public static func readInodeEvents(
        _ queue: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer,
        _ body: (InodeEvent) -> Void
    ) throws(Errno) -> Bool {
        var rest = try readQueue(queue, into: buffer)
        let isAny = !rest.isEmpty
        while rest.count >= InodeEvent.headerSize {
            let (event, size) = try InodeEvent.first(in: rest)
            body(event)
            rest = UnsafeRawBufferPointer(rebasing: rest[size...])
        }
        return isAny
    }
}

/// struct inotify_event: wd, mask, cookie, len, and a name of `len` bytes with NULs at its end.
extension InodeEvent {
    fileprivate static let headerSize = 16

    fileprivate static func first(
        in bytes: UnsafeRawBufferPointer
    ) throws(Errno) -> (Self, size: Int) {
        let length = Int(bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        let size = headerSize + length
        guard size <= bytes.count, length == 0 || bytes[size - 1] == 0 else {
            throw .protocolError
        }
        let mask = bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
        let name = UnsafeRawBufferPointer(rebasing: bytes[headerSize..<size])
        return (
            Self(
                kind: WatchEvent.Kind(rawValue: UInt64(mask)),
                watch: bytes.loadUnaligned(fromByteOffset: 0, as: Int32.self),
                name: length == 0
                    ? nil : name.baseAddress?.assumingMemoryBound(to: CChar.self)),
            size
        )
    }
}
