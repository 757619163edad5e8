import CLinux
import Glibc
import SystemPackage

/// An event of a file on a watched file system (fanotify(7)).
public struct WatchEvent {
    /// inotify(7) uses the same bits.
    public struct Kind: OptionSet, Sendable {
        public let rawValue: UInt64
        public init(rawValue: UInt64) { self.rawValue = rawValue }

        private init(_ mask: some BinaryInteger) { rawValue = UInt64(truncatingIfNeeded: mask) }

        public static let modify = Self(FAN_MODIFY)
        public static let attributes = Self(FAN_ATTRIB)
        /// A descriptor that was open for writing was closed.
        public static let closeWrite = Self(FAN_CLOSE_WRITE)
        public static let movedFrom = Self(FAN_MOVED_FROM)
        public static let movedTo = Self(FAN_MOVED_TO)
        public static let create = Self(FAN_CREATE)
        public static let delete = Self(FAN_DELETE)
        /// The watched file was renamed.
        public static let moved = Self(FAN_MOVE_SELF)
        /// Events were lost.
        public static let overflow = Self(FAN_Q_OVERFLOW)
        /// Not an event: includes events of directories.
        public static let onDirectory = Self(FAN_ONDIR)

        /// A name was added or removed.
        public static let names: Self = [.create, .delete, .movedFrom, .movedTo]
        /// The data of a file may have changed.
        public static let data: Self = [.modify, .closeWrite]
    }

    public var kind: Kind
    /// The process that caused it, in this process's namespace.
    public var process: Int32
    /// `f_fsid` of the file system.
    public var fileSystem: UInt64 = 0
    /// The file that it concerns: with `Kind.names`, the file that the name leads to.
    public var object: InodeHandle?
    /// With `Kind.names`: the directory of the name. Otherwise where the object was found, if
    /// known.
    public var directory: InodeHandle?
    /// Bytes and a NUL, in the buffer that the event was read into.
    public var name: UnsafePointer<CChar>?

    public init(kind: Kind, process: Int32) {
        self.kind = kind
        self.process = process
    }
}

extension Syscall {
    /// fanotify_init(2): a group whose events have directory, name and object. Does not block.
    /// - Parameter hasLimit: queues at most `fs.fanotify.max_queued_events` events; more are lost.
    /// - Throws: `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` before Linux 5.17.
    public static func makeWatch(hasLimit: Bool = true) throws(Errno) -> FileDescriptor {
        let flags =
            (hasLimit ? 0 : FAN_UNLIMITED_QUEUE) | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID
            | FAN_REPORT_DIR_FID | FAN_REPORT_NAME
            | FAN_REPORT_TARGET_FID
        return FileDescriptor(
            rawValue: try retrying { fanotify_init(UInt32(flags), UInt32(O_RDONLY)) })
    }

    /// fanotify_mark(2): from now on the group watches the whole file system that `fd` is on.
    /// - Throws: `ENODEV`, `EXDEV` or `EOPNOTSUPP` for a file system that cannot be watched.
    public static func watch(
        fileSystemOf fd: FileDescriptor, _ kinds: WatchEvent.Kind, with watch: FileDescriptor
    ) throws(Errno) {
        let flags = FAN_MARK_ADD | FAN_MARK_FILESYSTEM
        try DescriptorPath(fd).withPointer { (path) throws(Errno) in
            try check {
                fanotify_mark(
                    watch.rawValue, UInt32(flags), kinds.rawValue, AT_FDCWD, path)
            }
        }
    }

    /// `f_type` of statfs(2): a magic number.
    public static func fileSystemType(_ path: UnsafePointer<CChar>) throws(Errno) -> UInt64 {
        var type: UInt64 = 0
        try check { linux_file_system_type(path, &type) }
        return type
    }

    /// FUSE_SUPER_MAGIC of <linux/magic.h>.
    public static let fuseFileSystem: UInt64 = 0x6573_5546

    /// `f_fsid` of statfs(2).
    public static func fileSystemID(_ fd: FileDescriptor) throws(Errno) -> UInt64 {
        var id: UInt64 = 0
        try check { linux_file_system_id(fd.rawValue, &id) }
        return id
    }

    /// Reads events as far as they fit into `buffer` (4096 bytes or more) and passes each to
    /// `body`, except those of `process`.
    /// - Returns: false if there were none.
    public static func readEvents(
        _ watch: FileDescriptor, except process: Int32,
        into buffer: UnsafeMutableRawBufferPointer, _ body: (WatchEvent) -> Void
    ) throws(Errno) -> Bool {
        var rest = try readQueue(watch, into: buffer)
        let isAny = !rest.isEmpty
        while let (event, size) = try WatchEvent.first(in: rest, except: process) {
            if let event { body(event) }
            rest = UnsafeRawBufferPointer(rebasing: rest[size...])
        }
        return isAny
    }

    /// eventfd(2): is readable once `ring` has been called, and stays so.
    public static func makeBell() throws(Errno) -> FileDescriptor {
        FileDescriptor(
            rawValue: try retrying {
                eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
            })
    }

    public static func ring(_ bell: FileDescriptor) { eventfd_write(bell.rawValue, 1) }

    /// The content of a queue of events of fanotify or inotify, as far as it fits; empty if there
    /// are none.
    static func readQueue(
        _ queue: FileDescriptor, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> UnsafeRawBufferPointer {
        do throws(Errno) {
            let count = try retrying {
                Glibc.read(queue.rawValue, buffer.baseAddress, buffer.count)
            }
            return UnsafeRawBufferPointer(rebasing: buffer[..<count])
        } catch {
            guard error == .resourceTemporarilyUnavailable else { throw error }
            return UnsafeRawBufferPointer(rebasing: buffer[..<0])
        }
    }

    /// Leaves the calling thread `fd` as its only open file: then files that the process closes, or
    /// that are closed when its other threads end, are really closed.
    public static func keepOnly(_ fd: FileDescriptor) throws(Errno) {
        try check { linux_keep_only_descriptor(fd.rawValue) }
    }
}

/// struct fanotify_event_metadata, and what follows it.
extension WatchEvent {
    private static let headerSize = 24
    /// struct fanotify_event_info_header and the f_fsid after it.
    private static let infoSize = 12

    /// - Returns: for an event of `process` only its size, because there may be very many.
    /// - Throws: `EPROTO` for events that it cannot parse.
    fileprivate static func first(
        in bytes: UnsafeRawBufferPointer, except process: Int32
    ) throws(Errno) -> (WatchEvent?, size: Int)? {
        guard bytes.count >= headerSize else { return nil }
        let size = Int(bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
        let version = bytes[4]
        let headerEnd = Int(bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
        guard version == FANOTIFY_METADATA_VERSION, size <= bytes.count,
            headerEnd >= headerSize, headerEnd <= size
        else { throw .protocolError }
        var event = WatchEvent(
            kind: Kind(rawValue: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            process: bytes.loadUnaligned(fromByteOffset: 20, as: Int32.self))
        if event.process == process { return (nil, size) }
        var at = headerEnd
        while at + infoSize <= size {
            let length = Int(bytes.loadUnaligned(fromByteOffset: at + 2, as: UInt16.self))
            guard length >= infoSize, at + length <= size else { throw .protocolError }
            event.take(UnsafeRawBufferPointer(rebasing: bytes[at..<(at + length)]))
            at += length
        }
        return (event, size)
    }

    private mutating func take(_ info: UnsafeRawBufferPointer) {
        let kind = UInt32(info[0])
        // Two words of struct file_handle, and the number of bytes that the first gives.
        let start = Self.infoSize
        guard info.count >= start + 8 else { return }
        let end = start + 8 + Int(info.loadUnaligned(fromByteOffset: start, as: UInt32.self))
        guard end <= info.count else { return }
        let handle = InodeHandle(UnsafeRawBufferPointer(rebasing: info[start..<end]))
        fileSystem = info.loadUnaligned(fromByteOffset: 4, as: UInt64.self)
        switch kind {
        case UInt32(FAN_EVENT_INFO_TYPE_FID): object = handle
        case UInt32(FAN_EVENT_INFO_TYPE_DFID): directory = handle
        case UInt32(FAN_EVENT_INFO_TYPE_DFID_NAME):
            directory = handle
            // The kernel terminates it with a NUL.
            guard end < info.count, info[info.count - 1] == 0 || info[end...].contains(0) else {
                return
            }
            name = info.baseAddress.map {
                ($0 + end).assumingMemoryBound(to: CChar.self)
            }
        default: break
        }
    }
}
