import Glibc
import Synchronization
import Syscall
import SystemPackage

/// Watches the file systems that SOURCE is on, by fanotify(7), and tells what others change there.
///
/// The kernel queues an event before the call that caused it returns; from there to `deliver` it takes
/// as long as it takes to wake a thread. What this process does itself is left out.
public final class SourceWatcher: @unchecked Sendable {
    // Safe to share: `worker` and `deliver` are set by `start`, before the thread runs.

    /// Why SOURCE cannot be watched.
    public struct Unwatchable: Error, CustomStringConvertible {
        let source: FilePath
        let errno: Errno
        public var description: String {
            "changes in \(source) cannot be watched (\(errno)); if nobody makes any but through the "
                + "mount, give -o source_changes=none, else source_changes=ttl=SECONDS"
        }
    }

    private struct FileSystem {
        /// Some file there, to open handles on; not `O_PATH`.
        let anchor: Descriptor
        let id: UInt64
    }

    private static let kinds: WatchEvent.Kind = [
        .names, .data, .attributes, .onDirectory,
    ]
    /// Bytes of events read at once. More: fewer system calls when much happens.
    private static let bufferSize = 1 << 16

    private let watch: Descriptor
    /// By device number; nil: cannot be watched.
    private let fileSystems = Mutex<[UInt64: FileSystem?]>([:])
    private let stopping = Atomic(false)
    private let ownProcess = getpid()
    private var worker: Worker?
    private var deliver: (@Sendable (WatchEvent) -> Void)?

    /// Begins to watch the file system of `source`. Events are kept until `start`.
    /// - Throws: `Unwatchable`.
    public init(source: FilePath) throws(Unwatchable) {
        do throws(Errno) {
            watch = Descriptor(owning: try Syscall.makeWatch())
            let root: FileDescriptor
            do {
                root = try source.withPlatformString {
                    try Syscall.open($0, flags: O_RDONLY | O_DIRECTORY)
                }
            } catch {
                throw error as? Errno ?? .ioError
            }
            let anchor = Descriptor(owning: root)
            let device = UInt64(try Syscall.status(root).st_dev)
            let fileSystem = try Self.watch(anchor, with: watch.fd)
            fileSystems.withLock { $0[device] = fileSystem }
        } catch {
            throw Unwatchable(source: source, errno: error)
        }
    }

    /// Calls `deliver` for each event, on a thread of the watcher's.
    /// - Throws: `EAGAIN` if there can be no more threads.
    func start(_ deliver: @escaping @Sendable (WatchEvent) -> Void) throws(Errno) {
        self.deliver = deliver
        worker = try Worker("watch") { [self] in run() }
    }

    /// Ends the thread and waits for it.
    func stop() {
        guard !stopping.exchange(true, ordering: .sequentiallyConsistent) else { return }
        worker?.join()
    }

    /// True if changes on the file system of `fd` are told from now on: whatever is read there after
    /// this returns is either the present state or an event follows.
    ///
    /// - Parameters:
    ///   - device: its number.
    ///   - mode: the file's; the first seen of a file system must be one that can be opened for
    ///     nothing but itself.
    func covers(device: UInt64, mode: mode_t, of fd: FileDescriptor) -> Bool {
        fileSystems.withLock { fileSystems in
            if let known = fileSystems[device] { return known != nil }
            guard mode & S_IFMT == S_IFDIR || mode & S_IFMT == S_IFREG else { return false }
            let fileSystem = try? Self.watch(opening: fd, with: watch.fd)
            fileSystems[device] = .some(fileSystem)
            return fileSystem != nil
        }
    }

    /// Opens, as `O_PATH`, what an event is about.
    /// - Throws: `ESTALE` if it is gone.
    func open(_ handle: InodeHandle, on id: UInt64) throws(Errno) -> FileDescriptor {
        let anchor = fileSystems.withLock { fileSystems in
            fileSystems.values.lazy.compactMap(\.self).first { $0.id == id }?.anchor
        }
        guard let anchor else { throw .staleNFSFileHandle }
        return try Syscall.open(handle, on: anchor.fd, flags: Flag.path)
    }

    private static func watch(
        opening fd: FileDescriptor, with watch: FileDescriptor
    ) throws(Errno) -> FileSystem {
        let anchor = try DescriptorPath(fd).withPointer { (path) throws(Errno) in
            try Syscall.open(path, flags: O_RDONLY | O_NONBLOCK)
        }
        return try Self.watch(Descriptor(owning: anchor), with: watch)
    }

    private static func watch(
        _ anchor: Descriptor, with watch: FileDescriptor
    ) throws(Errno) -> FileSystem {
        try Syscall.watch(fileSystemOf: anchor.fd, kinds, with: watch)
        // An event leads to a file by its handle: that must be permitted, too.
        let handle = try Syscall.handle(of: anchor.fd)
        Syscall.close(try Syscall.open(handle, on: anchor.fd, flags: Flag.path))
        return FileSystem(anchor: anchor, id: try Syscall.fileSystemID(anchor.fd))
    }

    // MARK: The thread

    private func run() {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.bufferSize, alignment: 8)
        defer { buffer.deallocate() }
        while !stopping.load(ordering: .sequentiallyConsistent) {
            var poll = pollfd(fd: watch.fd.rawValue, events: Int16(POLLIN), revents: 0)
            // Looks ten times a second whether it is to stop.
            guard Glibc.poll(&poll, 1, 100) > 0 else { continue }
            readAll(into: buffer)
        }
    }

    private func readAll(into buffer: UnsafeMutableRawBufferPointer) {
        do throws(Errno) {
            while !stopping.load(ordering: .sequentiallyConsistent),
                // The kernel itself tells of an overflow, as process 0.
                try Syscall.readEvents(
                    watch.fd, except: ownProcess, into: buffer, { deliver?($0) })
            {}
        } catch {
            // Nothing that is known, so nothing that may be answered wrongly: as if all were lost.
            deliver?(WatchEvent(kind: .overflow, process: 0))
            usleep(100_000)
        }
    }
}
