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
            try options.watcher?.start { [unowned self] change in
                take(change, pages)
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

    private func take(_ change: SourceChange, _ pages: PageDropper) {
        if change.kind.contains(.overflow) {
            log.warning("too many changes in SOURCE to be told: all that was cached is dropped")
            options.gauges?.count(.sourceOverflows)
            return dropEverything(pages)
        }
        options.gauges?.count(.sourceChanges)
        let isName = !change.kind.isDisjoint(with: .names)
        if isName, let subject = change.directory,
            let name = change.name, let directory = void(subject)
        {
            try? coherence.withNames(of: directory.id) { (names) throws(Errno) in
                names.revoke(parent: directory.id, name: name)
            }
            // Of a removed directory itself inotify tells nothing, as long as it is open.
            if change.object == nil, change.kind.isSuperset(of: [.delete, .onDirectory]) {
                coherence.dropEverything()
            }
        }
        // Of a directory itself there may be no other handle than its own.
        if let subject = change.object ?? (isName ? nil : change.directory),
            let node = void(subject), !change.kind.isDisjoint(with: .data)
        {
            pages.drop(node.id)
        }
    }

    /// - Returns: the node whose cached state is void now, if there is one.
    private func void(_ subject: SourceChange.Subject) -> Node? {
        switch subject {
        case .identity(let identity):
            return void(identity)
        case .handle(let handle, let fileSystem):
            do throws(Errno) {
                guard let watcher = options.watcher else { return nil }
                let fd = try watcher.open(handle, on: fileSystem)
                defer { Syscall.close(fd) }
                return void(Identity(try Syscall.status(fd)))
            } catch {
                // A node that is open keeps its file, so it is none of those.
                let parked = nodes.descriptors.parked(handle).flatMap { nodes.node($0) }
                return parked.flatMap { void($0.lockKey, { parked }) }
            }
        }
    }

    private func void(_ identity: Identity) -> Node? {
        void(identity.lockKey) { nodes.node(identity) }
    }

    /// The node is looked for under its lock: one that is about to be inserted was read before.
    private func void(_ lockKey: UInt64, _ find: () -> Node?) -> Node? {
        try? coherence.withNode(lockKey) { (hold) throws(Errno) -> Node? in
            guard let node = find() else { return nil }
            hold.void(nodeid: node.id, &node.versions)
            return node
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
