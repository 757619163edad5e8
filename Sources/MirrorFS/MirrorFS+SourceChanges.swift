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
        use(dropper)
        switch changes {
        case .none: break
        case .watch:
            try options.watcher?.start {
                [unowned self] in
                take($0)
            } mountsChanged: {
                [unowned self] in
                take($0)
            }
        case .ttl(let milliseconds):
            // Without the maps, what is kept ends with its time-out.
            guard coherence.isAccelerated else { return }
            try expiry.start("expire", milliseconds: milliseconds) { [unowned self] in
                dropEverything()
            }
        }
    }

    /// Ends what `followSource` has begun.
    func stopFollowing() {
        options.watcher?.stop()
        expiry.stop()
        stopVerification()
    }

    private func take(_ change: SourceChange) {
        if change.kind.contains(.overflow) {
            local.log.warning(
                "too many changes in SOURCE to be told: all that was cached is dropped")
            options.gauges?.count(.sourceOverflows)
            return dropEverything()
        }
        options.gauges?.count(.sourceChanges)
        let isName = !change.kind.isDisjoint(with: .names)
        if isName, let subject = change.directory,
            let name = change.name, let directory = void(subject)
        {
            drop(name, in: directory)
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
                dropPages(of: node)
            }
        }
    }

    /// Mounts below SOURCE were added or removed: their names lead to other files now, and files
    /// that are still known may be found again later, changed meanwhile.
    private func take(_ change: MountChange) {
        coherence.dropEverything()
        for place in change.names {
            guard let node = void(place.directory) else { continue }
            place.name.withUnsafeBufferPointer { name in
                if let start = name.baseAddress { drop(start, in: node) }
            }
        }
        dropNodes { change.devices.contains($0.identity.device) }
    }

    /// - Returns: the node whose cached state is now void, if there is one.
    private func void(_ subject: SourceChange.Subject) -> Node? {
        switch subject {
        case .identity(let identity): void(identity)
        case .handle(let handle, let fileSystem):
            options.watcher?.identity(of: handle, on: fileSystem).flatMap(void)
        }
    }
}
