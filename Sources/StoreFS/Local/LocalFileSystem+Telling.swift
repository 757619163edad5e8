import FuseSession
import Glibc
import KernelCache
import SystemPackage

/// Changes that others make in the source. None of this waits for the kernel: its pages are dropped on another
/// thread.
extension LocalFileSystem {
    /// Drops what the kernel has in its own caches with `dropper` from now on. Call it once, before the first
    /// request can be answered from a cache.
    package func use(_ dropper: CacheDropper) {
        local.dropper.withLock { $0 = dropper }
        local.notices?.use(dropper)
    }

    /// A name of `directory` was added, removed, or leads to another file.
    package func drop(_ name: UnsafePointer<CChar>, in directory: Node) {
        try? coherence.reading(namesOf: directory.id) { (names) throws(Errno) in
            // A thread that holds them for long may be about to publish what it has read.
            if !names.isLocked { coherence.voidReaders() }
            names.revoke(parent: directory.id, name: name)
        }
        guard coherence.usesNativeCaches, let dropper = local.dropper.withLock({ $0 }) else {
            return
        }
        #if FAULTS
            if Fault.keepsNamesBehind { return dropper.drop(directory.id) }
        #endif
        let bytes = UnsafeBufferPointer(start: name, count: strlen(name) + 1)
        dropper.drop(.entry(Array(bytes)), in: directory.id)
        dropper.drop(directory.id)
    }

    /// Drops the kernel's pages of `node`, or its listing.
    package func dropPages(of node: Node) {
        guard let dropper = local.dropper.withLock({ $0 }) else { return }
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

    /// Looks up the node under its lock: one that is about to be inserted was read before.
    /// - Returns: the node whose cached state is now void, if there is one.
    package func void(_ identity: Identity) -> Node? {
        let find = { self.local.nodes.node(identity) }
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

    /// It is not known what has changed.
    package func dropEverything() {
        coherence.dropEverything()
        // If this kernel does not support it, the queue of events has no limit.
        if coherence.usesNativeCaches, let notifier = local.notices?.notifier {
            _ = notifier.dropNames()
            dropNamesAfterListings(notifier)
        }
        dropNodes { _ in true }
    }

    /// Drops all names again once the listings that were under way are applied.
    private func dropNamesAfterListings(_ notifier: Notifier) {
        #if FAULTS
            if Fault.dropsNamesOnce { return }
        #endif
        let dropper = local.dropper.withLock { $0 }
        for directory in local.listingsWithNodes.directories {
            dropper?.drop(.turn, in: directory) { _ = notifier.dropNames() }
        }
    }

    /// Drops what the kernel's own caches have of the nodes for which `isConcerned` is true. Call
    /// `Coherence.dropEverything` first: then the maps have nothing of them any more.
    package func dropNodes(where isConcerned: (Node) -> Bool) {
        for id in local.nodes.ids {
            guard let node = local.nodes.node(id), isConcerned(node) else { continue }
            if coherence.usesNativeCaches { _ = void(node.identity) }
            dropPages(of: node)
        }
    }
}
