import FuseSession
import Glibc
import KernelCache
import SystemPackage

/// All changes of the source go through these functions: they revoke everything that the change
/// concerns, change the source, and then reply. In between no other thread can publish,
/// because all locks concerned are held.
extension LocalFileSystem {
    /// Changes one file: its attributes, and what is in `scope`.
    /// - Parameter body: changes the source.
    package func change<R>(
        _ node: Node, _ scope: ChangeScope, _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        let coherence = coherence
        return try coherence.withNode(node.lockKey) { (hold) throws(Errno) -> R in
            compare(hold, node)
            hold.begin(scope, nodeid: node.id, &node.versions)
            // An interrupted request may outlive its node; the file may have a new one by now.
            if !node.isKnown.load(ordering: .relaxed),
                let current = local.nodes.node(node.identity)
            {
                hold.begin(scope, nodeid: current.id, &current.versions)
            }
            let result = try body()
            // They will be requested again soon. A failure only means that they are not cached.
            if coherence.isAccelerated { _ = try? publish(hold, node) }
            return result
        }
    }

    /// Changes the names at `places`, with the attributes of their directories, of the files that
    /// they lead to before (link count, ctime), and of `others`.
    /// - Parameters:
    ///   - body: changes the source.
    ///   - then: runs with the names still held but no node, to `find` what was created.
    ///   - scope: what changes of a file at a place, besides its attributes.
    ///   - removing: the place whose file loses this name.
    package func change<M, R>(
        _ places: [Place<Node>], and others: [Node] = [],
        scope: (stat) -> ChangeScope = { _ in [] }, removing: Place<Node>? = nil,
        _ body: () throws(Errno) -> M,
        then: (borrowing NameHold, M) throws(Errno) -> R
    ) throws(Errno) -> R {
        let coherence = coherence
        return try withNames(of: places) { (names) throws(Errno) -> R in
            // By identity, not by node: a file without a node also has a lock, and could get a node
            // by another name at any moment.
            var concerned = others.map { ($0.identity, ChangeScope()) }
            for place in places {
                concerned.append((place.directory.identity, .names))
                if let status = try status(of: place) {
                    concerned.append((Identity(status), scope(status)))
                }
            }
            let made = try coherence.withNodes(concerned.map(\.0.lockKey)) {
                (hold) throws(Errno) -> M in
                for place in places {
                    names.revoke(parent: place.directory.id, name: place.name)
                }
                for (identity, scope) in concerned {
                    guard let node = local.nodes.node(identity) else { continue }
                    compare(hold, node)
                    hold.begin(scope, nodeid: node.id, &node.versions)
                }
                let removal = removing.flatMap { beginRemoval(hold, of: $0, concerned.map(\.0)) }
                let made: M
                do throws(Errno) {
                    made = try body()
                } catch {
                    removal?.end(hold)
                    throw error
                }
                endWhenApplied(removal)
                if coherence.isAccelerated {
                    // Directories will be requested again soon. A failure only means that they are
                    // not cached.
                    for place in places { _ = try? publish(hold, place.directory) }
                }
                return made
            }
            return try then(names, made)
        }
    }

    /// Changes names, with nothing to find afterwards.
    package func change(
        _ places: [Place<Node>], and others: [Node] = [],
        scope: (stat) -> ChangeScope = { _ in [] }, removing: Place<Node>? = nil,
        _ body: () throws(Errno) -> Void
    ) throws(Errno) {
        try change(places, and: others, scope: scope, removing: removing, body) {
            (_, _) throws(Errno) in
        }
    }

    /// Creates `place` and returns its entry.
    package func make(
        _ place: Place<Node>, and others: [Node] = [], _ body: () throws(Errno) -> Void
    ) throws(Errno) -> Entry {
        try change([place], and: others, body) { (names, _) throws(Errno) in
            try find(names, place, made: true)
        }
    }

    // MARK: Removals

    /// - Parameter held: the files that `hold` locks.
    private func beginRemoval(
        _ hold: borrowing NodeHold, of place: Place<Node>, _ held: [Identity]
    ) -> Removal<Node>? {
        guard local.dropper.withLock({ $0 != nil }),
            let status = try? readStatus(at: place),
            status.st_nlink > 1, status.st_mode & S_IFMT != S_IFDIR,
            held.contains(Identity(status)), let node = local.nodes.node(Identity(status)),
            hold.beginRemoval(&node.versions)
        else { return nil }
        return Removal(node: node, directory: place.directory.id)
    }

    /// The kernel holds the directory until it has applied the reply.
    private func endWhenApplied(_ removal: Removal<Node>?) {
        guard let removal, let dropper = local.dropper.withLock({ $0 }) else { return }
        dropper.drop(.turn, in: removal.directory) { [coherence = local.coherence] in
            try? coherence.withNode(removal.node.lockKey) { (hold) throws(Errno) in
                removal.end(hold)
            }
        }
    }

    // MARK: Before a change

    /// Detects a change behind the mount, which the following change would hide.
    private func compare(_ hold: borrowing NodeHold, _ node: Node) {
        guard coherence.isAccelerated, let status = try? readStatus(of: node) else { return }
        hold.compare(status, &node.versions)
    }

    /// The attributes of the file at `place`; nil if there is none.
    private func status(of place: Place<Node>) throws(Errno) -> stat? {
        do throws(Errno) {
            return try readStatus(at: place)
        } catch {
            // With any other failure there may be a file, whose attributes would stay in the maps.
            if error == .noSuchFileOrDirectory { return nil }
            throw error
        }
    }

    private func withNames<R>(
        of places: [Place<Node>], _ body: (borrowing NameHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        let coherence = coherence
        if places.count == 1 {
            return try coherence.withNames(of: places[0].directory.id, body)
        }
        return try coherence.withNames(of: places.map(\.directory.id), body)
    }
}

/// A file that is losing one of its names: see `NodeHold.beginRemoval`.
private struct Removal<Node: AnyLocalNode>: Sendable {
    let node: Node
    let directory: NodeID

    func end(_ hold: borrowing NodeHold) {
        hold.endRemoval(nodeid: node.id, &node.versions)
    }
}
