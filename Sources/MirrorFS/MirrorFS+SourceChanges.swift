import FuseSession
import Glibc
import KernelCache
import Syscall
import SystemPackage

/// How changes that others make in SOURCE are handled.
public enum SourceChanges: Sendable, Equatable {
    /// There are none: nothing is done.
    case none
    /// They are watched, and visible as soon as their event is handled.
    case watch
    /// Nothing cached becomes older than this.
    case ttl(milliseconds: Int)
}

/// Changes behind the mount, called on the watcher's or the timer's thread. Takes only the locks of
/// `Coherence`, and does not wait for the kernel: its pages are dropped on another thread.
extension MirrorFS {
    /// Starts to follow the changes that others make in SOURCE. Call it once, before the first
    /// request can be answered from the kernel cache.
    ///
    /// - Parameters:
    ///   - changes: how; `SourceChanges.watch` needs `Options.watcher`.
    ///   - dropper: drops what the kernel has in its own caches.
    /// - Throws: `EAGAIN` if there can be no more threads.
    public func followSource(
        _ changes: SourceChanges, dropper: CacheDropper
    ) throws(Errno) {
        self.dropper.withLock { $0 = dropper }
        options.notices?.use(dropper)
        switch changes {
        case .none: break
        case .watch:
            try options.watcher?.start {
                [unowned self] in
                take($0, dropper)
            } mountsChanged: {
                [unowned self] in
                take($0, dropper)
            }
        case .ttl(let milliseconds):
            // Without the maps, what is kept ends with its time-out.
            guard coherence.isAccelerated else { return }
            try expiry.start("expire", milliseconds: milliseconds) { [unowned self] in
                dropEverything(dropper)
            }
        }
    }

    /// Ends what `followSource` has begun.
    func stopFollowing() {
        options.watcher?.stop()
        expiry.stop()
        verification.stop()
    }

    private func take(_ change: SourceChange, _ dropper: CacheDropper) {
        if change.kind.contains(.overflow) {
            log.warning("too many changes in SOURCE to be told: all that was cached is dropped")
            options.gauges?.count(.sourceOverflows)
            return dropEverything(dropper)
        }
        options.gauges?.count(.sourceChanges)
        let isName = !change.kind.isDisjoint(with: .names)
        if isName, let subject = change.directory,
            let name = change.name, let directory = void(subject)
        {
            drop(name, in: directory, dropper)
            // inotify does not report a removed directory itself as long as it is open.
            if change.object == nil, change.kind.isSuperset(of: [.delete, .onDirectory]) {
                coherence.dropEverything()
            }
        }
        // For an event of a directory itself there may be only its own handle.
        if let subject = change.object ?? (isName ? nil : change.directory),
            let node = void(subject)
        {
            #if FAULTS
                // The attributes would be dropped with the pages.
                if Fault.keepsAttributesBehind, change.kind.isDisjoint(with: .data) { return }
            #endif
            // Even if only attributes changed, `kept` is outdated until the pages are dropped.
            if coherence.usesNativeCaches || !change.kind.isDisjoint(with: .data) {
                dropPages(of: node, dropper)
            }
        }
    }

    private func drop(
        _ name: UnsafePointer<CChar>, in directory: Node, _ dropper: CacheDropper
    ) {
        try? coherence.reading(namesOf: directory.id) { (names) throws(Errno) in
            // A thread that holds them for long may be about to publish what it has read.
            if !names.isLocked { coherence.voidReaders() }
            names.revoke(parent: directory.id, name: name)
        }
        guard coherence.usesNativeCaches else { return }
        #if FAULTS
            if Fault.keepsNamesBehind { return dropper.drop(directory.id) }
        #endif
        let bytes = UnsafeBufferPointer(start: name, count: strlen(name) + 1)
        dropper.drop(.entry(Array(bytes)), in: directory.id)
        dropper.drop(directory.id)
    }

    /// Mounts below SOURCE were added or removed: their names lead to other files now, and files
    /// that are still known may be found again later, changed meanwhile.
    private func take(_ change: MountChange, _ dropper: CacheDropper) {
        coherence.dropEverything()
        for place in change.names {
            guard let node = void(place.directory) else { continue }
            place.name.withUnsafeBufferPointer { name in
                if let start = name.baseAddress { drop(start, in: node, dropper) }
            }
        }
        dropNodes(dropper) { change.devices.contains($0.identity.device) }
    }

    private func dropPages(of node: Node, _ dropper: CacheDropper) {
        let key = node.lockKey
        let version = try? coherence.reading(node: key) { (hold) throws(Errno) in
            hold.isLocked ? node.versions.version : nil
        }
        dropper.drop(.pages(node.id), in: node.id) { [coherence] in
            guard let version = version ?? nil else { return }
            try? coherence.reading(node: key) { (hold) throws(Errno) in
                guard hold.isLocked else { return }
                hold.noteDropped(at: version, &node.versions)
            }
        }
    }

    /// - Returns: the node whose cached state is now void, if there is one.
    private func void(_ subject: SourceChange.Subject) -> Node? {
        switch subject {
        case .identity(let identity): void(identity)
        case .handle(let handle, let fileSystem):
            options.watcher?.identity(of: handle, on: fileSystem).flatMap(void)
        }
    }

    /// Looks up the node under its lock: one that is about to be inserted was read before.
    private func void(_ identity: Identity) -> Node? {
        let find = { self.nodes.node(identity) }
        return try? coherence.reading(node: identity.lockKey) { (hold) throws(Errno) -> Node? in
            guard hold.isLocked else {
                var found: Node?
                coherence.voidUnlocked {
                    found = find()
                    // Its versions are updated by the next holder of the lock.
                    found?.isVoid.store(true, ordering: .relaxed)
                    return found?.id
                }
                return found
            }
            guard let node = find() else { return nil }
            hold.void(nodeid: node.id, &node.versions)
            return node
        }
    }

    private func dropEverything(_ dropper: CacheDropper) {
        coherence.dropEverything()
        // If this kernel does not support it, the queue of events has no limit.
        if coherence.usesNativeCaches, let notifier = options.notices?.notifier {
            _ = notifier.dropNames()
            // Again once the listings that were under way are applied.
            for directory in listingsWithNodes.directories {
                dropper.drop(.turn, in: directory) { _ = notifier.dropNames() }
            }
        }
        dropNodes(dropper) { _ in true }
    }

    /// Drops what the kernel's own caches have of the nodes for which `isConcerned` is true; the
    /// maps have nothing of them any more.
    private func dropNodes(_ dropper: CacheDropper, where isConcerned: (Node) -> Bool) {
        for id in nodes.ids {
            guard let node = nodes.node(id), isConcerned(node) else { continue }
            if coherence.usesNativeCaches { _ = void(node.identity) }
            dropPages(of: node, dropper)
        }
    }
}
