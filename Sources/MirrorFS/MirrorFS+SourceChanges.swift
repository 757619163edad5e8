import FuseSession
import Glibc
import KernelCache
import Syscall
import SystemPackage

/// What is done about changes that others make in SOURCE.
public enum SourceChanges: Sendable, Equatable {
    /// There are none: nothing is done.
    case none
    /// They are watched, and show as soon as they are told.
    case watch
    /// Nothing cached becomes older than so many milliseconds.
    case ttl(milliseconds: Int)
}

/// Changes behind the mount: the watcher's thread, or the timer's, comes in here. It holds no lock but
/// those of `Coherence`, and calls nobody back: the kernel's pages are dropped on another thread.
extension MirrorFS {
    /// Begins to follow the changes that others make in SOURCE. Once, and before the first request
    /// can be answered from the kernel cache.
    ///
    /// - Parameters:
    ///   - watcher: of SOURCE, for `SourceChanges.watch`.
    ///   - pages: drops the kernel's pages.
    /// - Throws: `EAGAIN` if there can be no more threads.
    public func followSource(
        _ changes: SourceChanges, pages: PageDropper
    ) throws(Errno) {
        switch changes {
        case .none: break
        case .watch:
            try options.watcher?.start { [unowned self] event in
                take(event, pages)
            }
        case .ttl(let milliseconds):
            try expiry.start("expire", milliseconds: milliseconds) { [unowned self] in
                dropEverything(pages)
            }
        }
    }

    /// Ends what `followSource` has begun.
    func stopFollowing() {
        options.watcher?.stop()
        expiry.stop()
        verification.stop()
    }

    private func take(_ event: WatchEvent, _ pages: PageDropper) {
        if event.kind.contains(.overflow) {
            log.warning("too many changes in SOURCE to be told: all that was cached is dropped")
            options.gauges?.count(.sourceOverflows)
            return dropEverything(pages)
        }
        options.gauges?.count(.sourceChanges)
        if !event.kind.isDisjoint(with: .names), let handle = event.directory,
            let name = event.name, let directory = node(handle, on: event.fileSystem)
        {
            try? coherence.withNames(of: directory.id) { (names) throws(Errno) in
                names.revoke(parent: directory.id, name: name)
            }
            void(directory)
        }
        // Of a directory itself there may be no other handle than its own.
        if let handle = event.object ?? event.directory,
            let node = node(handle, on: event.fileSystem)
        {
            void(node)
            if !event.kind.isDisjoint(with: .data) { pages.drop(node.id) }
        }
    }

    private func void(_ node: Node) {
        try? coherence.withNode(node.lockKey) { (hold) throws(Errno) in
            hold.void(nodeid: node.id, &node.versions)
        }
    }

    /// The node that has, or had before it was removed, this handle.
    private func node(_ handle: InodeHandle, on fileSystem: UInt64) -> Node? {
        do throws(Errno) {
            guard let watcher = options.watcher else { return nil }
            let fd = try watcher.open(handle, on: fileSystem)
            defer { Syscall.close(fd) }
            return nodes.node(Identity(try Syscall.status(fd)))
        } catch {
            // A node that is open keeps its file, so it is none of those.
            return nodes.descriptors.parked(handle).flatMap { nodes.node($0) }
        }
    }

    private func dropEverything(_ pages: PageDropper) {
        coherence.dropEverything()
        for id in nodes.ids { pages.drop(id) }
    }
}

/// Calls somebody at intervals.
final class Expiry: @unchecked Sendable {
    // Safe to share: guarded by `monitor`.
    private let monitor = Monitor()
    private var isStopped = false
    private var worker: Worker?

    func start(
        _ name: String, milliseconds: Int, _ expire: @escaping @Sendable () -> Void
    ) throws(Errno) {
        worker = try Worker(name) { [self] in
            while true {
                let ends = monitor.withLock {
                    monitor.wait(milliseconds: milliseconds) { isStopped }
                    return isStopped
                }
                if ends { return }
                expire()
            }
        }
    }

    /// Ends the thread and waits for it.
    func stop() {
        let running = monitor.withLock {
            isStopped = true
            monitor.broadcast()
            defer { worker = nil }
            return worker
        }
        running?.join()
    }
}
