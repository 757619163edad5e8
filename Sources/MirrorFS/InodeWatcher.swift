import Synchronization
import Syscall
import SystemPackage

/// Watches files one by one, by inotify(7): for a file system that fanotify(7) cannot watch as a
/// whole. Each file that is cached has a watch of its own, a directory for its names as well.
///
/// Events do not say who it was, so the daemon's own changes cannot be told apart: a file that is
/// changed through the mount is asked for once more.
final class InodeWatcher: Sendable {
    private static let kinds: WatchEvent.Kind = [.names, .data, .attributes, .moved]

    private let descriptor: Descriptor
    private let watched = Mutex<[Int32: Identity]>([:])

    /// - Throws: see `Syscall.makeInodeWatch`.
    init() throws(Errno) { descriptor = Descriptor(owning: try Syscall.makeInodeWatch()) }

    var queue: FileDescriptor { descriptor.fd }

    /// Files that are watched now.
    var count: Int { watched.withLock { $0.count } }

    /// From now on changes of the file are told.
    /// - Throws: see `Syscall.watch(inode:_:with:)`.
    func add(_ identity: Identity, _ fd: FileDescriptor) throws(Errno) -> Int32 {
        let result = watched.withLock { watched -> Result<Int32, Errno> in
            // Under the lock, so that whoever reads its first event finds it here.
            Result { () throws(Errno) in
                let watch = try Syscall.watch(inode: fd, Self.kinds, with: queue)
                watched[watch] = identity
                return watch
            }
        }
        return try result.get()
    }

    /// Numbers are not used again before 2^31 others.
    func remove(_ watch: Int32) {
        watched.withLock { $0[watch] = nil }
        Syscall.unwatch(watch, with: queue)
    }

    /// Reads events and hands them out.
    /// - Returns: false if there were none.
    func read(
        into buffer: UnsafeMutableRawBufferPointer, _ body: (SourceChange) -> Void
    ) throws(Errno) -> Bool {
        try Syscall.readInodeEvents(queue, into: buffer) { event in
            if event.kind.contains(.overflow) { return body(SourceChange(kind: .overflow)) }
            let isName = !event.kind.isDisjoint(with: .names)
            // What happens to a file in a directory is told by the file's own watch.
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
