import Glibc
import Synchronization
import Syscall
import SystemPackage

/// What others have changed in SOURCE.
struct SourceChange {
    /// What was changed. Neither way keeps the file.
    enum Subject {
        case handle(InodeHandle, fileSystem: UInt64)
        case identity(Identity)
    }

    var kind: WatchEvent.Kind
    /// What it happened to. With `Kind.names`: what the name stands for, if that is known.
    var object: Subject?
    /// With `Kind.names`: where the name is. Else where the object was found, if at all.
    var directory: Subject?
    /// With `Kind.names`; valid until the change is dealt with.
    var name: UnsafePointer<CChar>?
}

/// Watches the file systems that SOURCE is on, by fanotify(7), or its files one by one (`InodeWatcher`)
/// where that cannot be, and tells what others change there.
///
/// The kernel queues an event before the call that caused it returns; from there to `deliver` it takes
/// as long as it takes to wake a thread. What this process does itself is left out if it can be told.
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

    /// How changes of a file are told.
    enum Coverage {
        /// Not at all: nothing of it may be cached.
        case none
        /// With its whole file system; or there are none to tell of.
        case whole
        /// By a watch of its own.
        case inode(Int32)
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

    /// nil: fanotify is not to be had.
    private let watch: Descriptor?
    let inodes: InodeWatcher
    /// By device number; nil: cannot be watched as a whole.
    private let fileSystems = Mutex<[UInt64: FileSystem?]>([:])
    private let stopping = Atomic(false)
    private let ownProcess = getpid()
    private var worker: Worker?
    private var deliver: (@Sendable (SourceChange) -> Void)?

    /// Why SOURCE is watched file by file; nil if it is not.
    public let fallback: Errno?

    /// Begins to watch the file system of `source`. Events are kept until `start`.
    /// - Parameter byInode: file by file, whatever the file system can.
    /// - Throws: `Unwatchable`.
    public init(source: FilePath, byInode: Bool = false) throws(Unwatchable) {
        do throws(Errno) {
            inodes = try InodeWatcher()
            let root: FileDescriptor
            do {
                root = try source.withPlatformString {
                    try Syscall.open($0, flags: O_RDONLY | O_DIRECTORY)
                }
            } catch {
                throw error as? Errno ?? .ioError
            }
            let anchor = Descriptor(owning: root)
            let status = try Syscall.status(root)
            let device = UInt64(status.st_dev)
            do throws(Errno) {
                if byInode { throw .notSupported }
                let watch = Descriptor(owning: try Syscall.makeWatch())
                let fileSystem = try Self.watch(anchor, with: watch.fd)
                fileSystems.withLock { $0[device] = fileSystem }
                self.watch = watch
                fallback = nil
            } catch {
                watch = nil
                fallback = error
                // Not later, when there is a mount.
                inodes.remove(try inodes.add(Identity(status), root))
            }
        } catch {
            throw Unwatchable(source: source, errno: error)
        }
    }

    /// Calls `deliver` for each change, on a thread of the watcher's.
    /// - Throws: `EAGAIN` if there can be no more threads.
    func start(_ deliver: @escaping @Sendable (SourceChange) -> Void) throws(Errno) {
        self.deliver = deliver
        worker = try Worker("watch") { [self] in run() }
    }

    /// Ends the thread and waits for it.
    func stop() {
        guard !stopping.exchange(true, ordering: .sequentiallyConsistent) else { return }
        worker?.join()
    }

    /// Sees to it that changes of the file `fd` are told from now on: whatever is read there after
    /// this returns is either the present state or an event follows. To be ended by `uncover`.
    func cover(_ identity: Identity, mode: mode_t, _ fd: FileDescriptor) -> Coverage {
        if isWhole(identity.device, mode, fd) { return .whole }
        guard let watch = try? inodes.add(identity, fd) else { return .none }
        return .inode(watch)
    }

    func uncover(_ coverage: Coverage) {
        if case .inode(let watch) = coverage { inodes.remove(watch) }
    }

    /// True if the file system of `fd` is watched as a whole. The first seen of a file system must be one
    /// that can be opened for nothing but itself.
    private func isWhole(_ device: UInt64, _ mode: mode_t, _ fd: FileDescriptor) -> Bool {
        guard let watch else { return false }
        return fileSystems.withLock { fileSystems in
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
        // An event leads to a file by its handle: that must be permitted, too.
        let handle = try Syscall.handle(of: anchor.fd).handle
        Syscall.close(try Syscall.open(handle, on: anchor.fd, flags: Flag.path))
        try Syscall.watch(fileSystemOf: anchor.fd, kinds, with: watch)
        return FileSystem(anchor: anchor, id: try Syscall.fileSystemID(anchor.fd))
    }

    // MARK: The thread

    private func run() {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.bufferSize, alignment: 8)
        defer { buffer.deallocate() }
        // poll(2) passes over negative ones.
        let queues = [watch?.fd.rawValue ?? -1, inodes.queue.rawValue]
        var polls = queues.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while !stopping.load(ordering: .sequentiallyConsistent) {
            // Looks ten times a second whether it is to stop.
            guard Glibc.poll(&polls, nfds_t(polls.count), 100) > 0 else { continue }
            do throws(Errno) {
                try readAll(into: buffer)
            } catch {
                // Nothing that is known, so nothing that may be answered wrongly: as if all were lost.
                deliver?(SourceChange(kind: .overflow))
                usleep(100_000)
            }
        }
    }

    private func readAll(into buffer: UnsafeMutableRawBufferPointer) throws(Errno) {
        var more = true
        while more, !stopping.load(ordering: .sequentiallyConsistent) {
            more = try inodes.read(into: buffer) { deliver?($0) }
            guard let watch else { continue }
            // The kernel itself tells of an overflow, as process 0.
            let found = try Syscall.readEvents(watch.fd, except: ownProcess, into: buffer) {
                deliver?(SourceChange($0))
            }
            more = more || found
        }
    }
}

extension SourceChange {
    fileprivate init(_ event: WatchEvent) {
        self.init(
            kind: event.kind,
            object: event.object.map { .handle($0, fileSystem: event.fileSystem) },
            directory: event.directory.map { .handle($0, fileSystem: event.fileSystem) },
            name: event.name)
    }
}
