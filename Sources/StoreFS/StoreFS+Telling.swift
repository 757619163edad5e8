import FuseSession
import KernelCache
import SystemPackage

/// Changes that are not made through the mount. None of this waits for the kernel: see `PageDrops`.
extension StoreFS {
    var sink: ChangeSink<S.ID> {
        ChangeSink(
            drop: { [weak self] concerns in
                StoreFault.pauseIfSlow()
                self?.begin(concerns)
                self?.end(concerns)
            },
            begin: { [weak self] in self?.begin($0) },
            end: { [weak self] in self?.end($0) },
            dropAll: { [weak self] in
                if !StoreFault.keepsAll.isPlanted { self?.loseEverything() }
            },
            extend: { [weak self] in
                if !StoreFault.ownClock.isPlanted { self?.extendLease(until: $0) }
            })
    }

    private func begin(_ concerns: [Concern<S.ID>]) {
        if StoreFault.untold.isPlanted { return }
        for concern in concerns {
            switch concern {
            case .attributes(let id): void(id, clock.begin)
            case .extendedAttributes(let id): void(id, clock.begin)
            case .data(let id):
                void(id, clock.begin)
                dropPages(of: id)
            case .name(let name, let directory):
                void(directory, clock.begin)
                void(name, in: directory)
                dropPages(of: directory)
            }
        }
    }

    private func end(_ concerns: [Concern<S.ID>]) {
        if StoreFault.untold.isPlanted { return }
        for concern in concerns {
            switch concern {
            case .attributes(let id), .extendedAttributes(let id): clock.end(key(id))
            case .data(let id):
                clock.end(key(id))
                // A READ may have begun in between.
                dropPages(of: id)
            case .name(let name, let directory):
                clock.end(key(directory))
                clock.end(key(name, in: directory))
                dropPages(of: directory)
            }
        }
    }

    private func dropPages(of id: S.ID) {
        if let node = nodes.node(id) { dropPages(of: node) }
    }

    private func void(_ id: S.ID, _ begin: (UInt64) -> Void) {
        // Throws only for an interrupted request, which this is not.
        try? coherence.withNode(key(id)) { (hold) throws(Errno) in
            begin(key(id))
            if let node = nodes.node(id) { hold.void(nodeid: node.nodeid, &node.versions) }
        }
    }

    private func void(_ name: FileName, in directory: S.ID) {
        guard let parent = nodes.node(directory) else {
            return clock.begin(key(name, in: directory))
        }
        try? coherence.withNames(of: parent.nodeid) { (names) throws(Errno) in
            clock.begin(key(name, in: directory))
            name.withCString { names.revoke(parent: parent.nodeid, name: $0) }
        }
        dropNames()
    }
}
