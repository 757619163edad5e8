import Glibc
import StoreFS
import Synchronization
import Syscall
import SystemPackage

/// What others have changed in SOURCE.
struct SourceChange {
    /// What was changed. Neither form keeps the file.
    enum Subject {
        case handle(InodeHandle, fileSystem: UInt64)
        case identity(Identity)
    }

    var kind: WatchEvent.Kind
    /// The file that it concerns. With `Kind.names`: the file that the name leads to, if known.
    var object: Subject?
    /// With `Kind.names`: the directory of the name. Otherwise where the object was found, if
    /// known.
    var directory: Subject?
    /// With `Kind.names`; valid until the change has been handled.
    var name: UnsafePointer<CChar>?
}

/// Watches the file systems that SOURCE is on with fanotify(7), or its files one by one
/// (`InodeWatcher`) where that is not possible, and reports what others change there.
///
/// The kernel queues an event before the call that caused it returns; `deliver` follows as soon as
/// the thread wakes. This process's own changes are left out where they can be distinguished.
public final class SourceWatcher: @unchecked Sendable {
    // Safe to share: `worker` and `deliver` are set by `start`, before the thread runs.

    /// Why SOURCE cannot be watched.
    public struct Unwatchable: Error, CustomStringConvertible {
        let source: FilePath
        let errno: Errno
        public var description: String {
            "changes in \(source.printable) cannot be watched (\(errno)); if nobody makes any but through the "
                + "mount, give -o source_changes=none, else source_changes=ttl=SECONDS"
        }
    }

    /// How changes of a file are reported.
    enum Coverage {
        /// Not at all: nothing of it may be cached.
        case none
        /// With its whole file system; or there are none to report.
        case whole
        /// By its own watch.
        case inode(Int32)
    }

    struct FileSystem {
        let device: UInt64
        let id: UInt64
        let place: InodeHandle.InodePlace
    }

    struct FileSystems {
        /// nil: cannot be watched as a whole.
        var byDevice: [UInt64: FileSystem?] = [:]
        var byID: [UInt64: FileSystem] = [:]

        mutating func add(_ fileSystem: FileSystem) {
            byDevice[fileSystem.device] = fileSystem
            byID[fileSystem.id] = fileSystem
        }

        mutating func remove(_ device: UInt64) {
            if let found = byDevice.removeValue(forKey: device), let id = found?.id {
                byID[id] = nil
            }
        }
    }

    private static let kinds: WatchEvent.Kind = [
        .names, .data, .attributes, .onDirectory,
    ]
    /// Bytes of events read at once. More: fewer system calls when there are many events.
    private static let bufferSize = 1 << 16

    /// nil: fanotify is not available.
    let watch: Descriptor?
    let inodes: InodeWatcher
    let fileSystems = Mutex(FileSystems())
    private let stopping = Atomic(false)
    /// Held while events are read and delivered: a test that holds it delays them.
    let turn = Mutex(())
    /// SOURCE itself, which is not unmounted while it is watched.
    let root: Descriptor
    let ownDevice: UInt64
    /// Reports mounts that are added and removed; nil without /proc.
    private let mountTable: Descriptor?
    /// The mounts at the last report of `mountTable`. Only for the thread.
    var mounts: [MountInfo: MountChange.Name?]
    private(set) var mountsChanged: (@Sendable (MountChange) -> Void)?
    /// Wakes the thread to stop.
    private let bell: Descriptor
    private let ownProcess = getpid()
    private let isUrgent: Bool
    private var worker: Worker?
    private(set) var deliver: (@Sendable (SourceChange) -> Void)?

    /// Why SOURCE is watched file by file; nil if it is not.
    public let fallback: Errno?

    /// Starts to watch the file system of SOURCE. Events are kept until `start`.
    /// - Parameters:
    ///   - source: the path of SOURCE, a directory; used only by this call.
    ///   - byInode: file by file, even if the file system can be watched as a whole.
    ///   - hasLimit: false: the queue grows as long as there is memory, so no event is ever lost.
    ///   - isUrgent: the thread has priority. Tests set it to false to show the effect.
    /// - Throws: `Unwatchable`.
    public init(
        source: FilePath, byInode: Bool = false, hasLimit: Bool = true, isUrgent: Bool = true
    ) throws(Unwatchable) {
        self.isUrgent = isUrgent
        do throws(Errno) {
            inodes = try InodeWatcher()
            bell = Descriptor(owning: try Syscall.makeBell())
            let root: FileDescriptor
            do {
                root = try source.withPlatformString {
                    try Syscall.open($0, flags: O_RDONLY | O_DIRECTORY)
                }
            } catch {
                throw error as? Errno ?? .ioError
            }
            self.root = Descriptor(owning: root)
            // First open, then read: changes in between are reported.
            mountTable = (try? Syscall.openMountTable()).map(Descriptor.init)
            mounts = Self.namedMounts(below: root)
            let identity = Identity(try Syscall.status(root))
            ownDevice = identity.device
            do throws(Errno) {
                if byInode { throw .notSupported }
                let watch = Descriptor(owning: try Syscall.makeWatch(hasLimit: hasLimit))
                let fileSystem = try Self.watch(root, identity, with: watch.fd)
                fileSystems.withLock { $0.add(fileSystem) }
                self.watch = watch
                fallback = nil
            } catch {
                watch = nil
                fallback = error
                // Tried now and not later, when there is a mount.
                inodes.remove(try inodes.add(identity, root))
            }
        } catch {
            throw Unwatchable(source: source, errno: error)
        }
    }

    /// Calls `deliver` for each change, and `mountsChanged` when mounts below SOURCE were added or
    /// removed, on the watcher's thread.
    /// - Throws: `EAGAIN` if no more threads can be created.
    func start(
        _ deliver: @escaping @Sendable (SourceChange) -> Void,
        mountsChanged: @escaping @Sendable (MountChange) -> Void
    ) throws(Errno) {
        self.deliver = deliver
        self.mountsChanged = mountsChanged
        worker = try Worker("watch") { [self] in run() }
    }

    /// Ends the thread and waits for it.
    func stop() {
        guard !stopping.exchange(true, ordering: .sequentiallyConsistent) else { return }
        Syscall.ring(bell.fd)
        worker?.join()
    }

    /// Ensures that changes of the file `fd` are reported from now on: what is read of it after
    /// this returns is the current state, or an event follows. `uncover` ends it.
    /// - Parameter handle: the handle of `fd`; nil if it has none.
    func cover(
        _ identity: Identity, mode: mode_t, _ fd: FileDescriptor, handle: InodeHandle?
    ) -> Coverage {
        if let fileSystem = fileSystem(of: identity, mode, fd),
            handle?.inode(at: fileSystem.place) == identity.inode
        {
            return .whole
        }
        guard let watch = try? inodes.add(identity, fd) else { return .none }
        return .inode(watch)
    }

    func uncover(_ coverage: Coverage) {
        if case .inode(let watch) = coverage { inodes.remove(watch) }
    }

    /// The file system of `fd`, if it is watched as a whole. The first file of a file system must
    /// be one that can be opened without side effects.
    private func fileSystem(
        of identity: Identity, _ mode: mode_t, _ fd: FileDescriptor
    ) -> FileSystem? {
        guard let watch else { return nil }
        return fileSystems.withLock { fileSystems in
            if let known = fileSystems.byDevice[identity.device] { return known }
            guard mode & S_IFMT == S_IFDIR || mode & S_IFMT == S_IFREG else { return nil }
            guard let found = try? Self.watch(opening: fd, identity, with: watch.fd),
                fileSystems.byID[found.id] == nil
            else {
                // Also one whose events cannot be told from another's: a copy that is also mounted.
                fileSystems.byDevice[identity.device] = .some(nil)
                return nil
            }
            fileSystems.add(found)
            return found
        }
    }

    /// The file of an event's handle, if it is covered. Nothing is opened: programs that make
    /// changes in SOURCE must not notice the watcher.
    func identity(of handle: InodeHandle, on id: UInt64) -> Identity? {
        fileSystems.withLock { fileSystems in
            guard let fileSystem = fileSystems.byID[id],
                let inode = handle.inode(at: fileSystem.place)
            else { return nil }
            return Identity(device: fileSystem.device, inode: inode)
        }
    }

    static func watch(
        opening fd: FileDescriptor, _ identity: Identity, with watch: FileDescriptor
    ) throws(Errno) -> FileSystem {
        // Open only for a moment; otherwise umount(8) would find the file system busy. The watch
        // ends with the file system.
        let file = try DescriptorPath(fd).withPointer { (path) throws(Errno) in
            Descriptor(owning: try Syscall.open(path, flags: O_RDONLY | O_NONBLOCK))
        }
        return try Self.watch(file.fd, identity, with: watch)
    }

    private static func watch(
        _ file: FileDescriptor, _ identity: Identity, with watch: FileDescriptor
    ) throws(Errno) -> FileSystem {
        // An event identifies a file by its handle.
        guard let place = try Syscall.handle(of: file).handle.place(of: identity.inode) else {
            throw .notSupported
        }
        let id = try Syscall.fileSystemID(file)
        try Syscall.watch(fileSystemOf: file, kinds, with: watch)
        return FileSystem(device: identity.device, id: id, place: place)
    }

    // MARK: The thread

    private func run() {
        let buffer = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.bufferSize, alignment: 8)
        defer { buffer.deallocate() }
        let priority = isUrgent ? BurstPriority() : nil
        // poll(2) ignores negative ones.
        let queues = [watch?.fd.rawValue ?? -1, inodes.queue.rawValue, bell.fd.rawValue]
        var polls = queues.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        polls.append(
            pollfd(fd: mountTable?.fd.rawValue ?? -1, events: Int16(POLLPRI), revents: 0))
        while !stopping.load(ordering: .sequentiallyConsistent) {
            guard Glibc.poll(&polls, nfds_t(polls.count), -1) > 0 else { continue }
            priority?.begin()
            if polls[queues.count].revents != 0 { readMounts() }
            let result = turn.withLock { _ in
                Result { () throws(Errno) in try readAll(into: buffer, priority) }
            }
            if case .failure = result {
                // Events could not be read: as if all were lost.
                deliver?(SourceChange(kind: .overflow))
                usleep(100_000)
            }
            priority?.end()
        }
    }

    private func readAll(
        into buffer: UnsafeMutableRawBufferPointer, _ priority: BurstPriority?
    ) throws(Errno) {
        var more = true
        while more, !stopping.load(ordering: .sequentiallyConsistent) {
            more = try inodes.read(into: buffer) { deliver?($0) }
            if let watch {
                // The kernel itself reports an overflow, as process 0.
                let found = try Syscall.readEvents(watch.fd, except: ownProcess, into: buffer) {
                    deliver?(SourceChange($0))
                }
                more = more || found
            }
            priority?.goOn()
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
