import StoreFS
import Synchronization
import Syscall
import SystemPackage

/// Watches files one by one with inotify(7), for a file system that fanotify(7) cannot watch as a
/// whole. Each cached file has a watch; that of a directory also covers its names.
///
/// Events do not say which process made the change, so the daemon's own changes cannot be
/// distinguished: after a change through the mount the file is requested once more.
final class InodeWatcher: Sendable {
    private static let kinds: WatchEvent.Kind = [.names, .data, .attributes, .moved]

    private let descriptor: Descriptor
    private let watched = Mutex<[Int32: Identity]>([:])

    /// - Throws: see `Syscall.makeInodeWatch`.
    init() throws(Errno) { descriptor = Descriptor(owning: try Syscall.makeInodeWatch()) }

    var queue: FileDescriptor { descriptor.fd }

    /// The number of watched files.
    var count: Int { watched.withLock { $0.count } }

    /// From now on changes of the file are reported.
    /// - Throws: see `Syscall.watch(inode:_:with:)`.
    func add(_ identity: Identity, _ fd: FileDescriptor) throws(Errno) -> Int32 {
        let result = watched.withLock { watched -> Result<Int32, Errno> in
            // Under the lock, so that the thread that reads its first event finds it here.
            Result { () throws(Errno) in
                let watch = try Syscall.watch(inode: fd, Self.kinds, with: queue)
                watched[watch] = identity
                return watch
            }
        }
        return try result.get()
    }

    /// A number is not reused before 2^31 others.
    func remove(_ watch: Int32) {
        watched.withLock { $0[watch] = nil }
        Syscall.unwatch(watch, with: queue)
    }

    /// Reads events and passes them on.
    /// - Returns: false if there were none.
    func read(
        into buffer: UnsafeMutableRawBufferPointer, _ body: (SourceChange) -> Void
    ) throws(Errno) -> Bool {
        try Syscall.readInodeEvents(queue, into: buffer) { event in
            if event.kind.contains(.overflow) { return body(SourceChange(kind: .overflow)) }
            let isName = !event.kind.isDisjoint(with: .names)
            // Events of a file in a directory are reported by the file's own watch.
            guard isName == (event.name != nil),
                let identity = watched.withLock({ $0[event.watch] })
            else { return }
            body(
                SourceChange(
                    kind: event.kind, object: isName ? nil : .identity(identity),
                    directory: isName ? .identity(identity) : nil, name: event.name))
        }
    }
}
