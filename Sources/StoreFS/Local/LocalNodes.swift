import FuseSession
import Synchronization

/// All nodes that the kernel may know, by nodeid and by identity.
///
/// Its locks are leaf locks: nothing is called under them. A node is removed under its lock in
/// `Coherence`, so a node that is found stays while that lock is held.
package final class LocalNodes<Node: AnyLocalNode>: Sendable {
    // More shards: fewer waits between busy threads, 100 bytes each.
    private let byID = (0..<64).map { _ in Shard<ByID>() }
    private let byIdentity = (0..<64).map { _ in Shard<ByIdentity>() }
    /// nodeids are never reused; 1 is the root.
    private let lastID = Atomic<NodeID>(rootNodeID)
    private let gauge: NodeGauge?
    private let known: KnownNodes?

    /// - Parameters:
    ///   - gauge: 8 bytes, zero, that outlive the table: always the number of nodes, for other
    ///     processes.
    ///   - known: always the set of nodes, for another process.
    package init(gauge: UnsafeMutableRawPointer?, known: KnownNodes?) {
        self.gauge = gauge.map(NodeGauge.init)
        self.known = known
    }

    /// Counts lookups of `nodeid` that the kernel cache granted. For `KernelCache`, which calls it
    /// under one of its locks; ignores unknown nodeids.
    package func credit(nodeid: UInt64, lookups: UInt64) {
        node(nodeid)?.add(lookups: Int64(truncatingIfNeeded: lookups))
    }

    /// The nodeids of all nodes in the table.
    package var ids: [NodeID] {
        byID.flatMap { shard in shard.nodes.withLock { $0.map(\.subject.id) } }
    }

    /// The number of nodes in the table, including the root.
    package var count: Int {
        byID.reduce(0) { sum, shard in sum + shard.nodes.withLock { $0.count } }
    }

    /// There are no others in the table.
    private func typed(_ found: Identified?) -> Node? {
        guard let found else { return nil }
        return unsafeDowncast(found, to: Node.self)
    }

    package func node(_ id: NodeID) -> Node? {
        typed(shard(id).find(Identified(id: id, identity: .none)))
    }

    package func node(_ identity: Identity) -> Node? {
        typed(shard(identity).find(Identified(id: 0, identity: identity)))
    }

    /// Up to `wanted` nodes of those for which `isWanted` is true. It must not call the table.
    package func first(_ wanted: Int, where isWanted: (Node) -> Bool) -> [Node] {
        var found: [Node] = []
        for shard in byID where found.count < wanted {
            shard.nodes.withLock { nodes in
                for member in nodes where found.count < wanted {
                    if let node = typed(member.subject), isWanted(node) { found.append(node) }
                }
            }
        }
        return found
    }

    /// Counts a lookup of the node of `identity`, which is `known` if not nil, or of a new one;
    /// against `removeUnlessUsed`, so that the caller need not hold the lock of `identity`.
    /// - Parameters:
    ///   - lost: a node whose file no longer exists: a new one replaces it.
    ///   - make: makes a new node with this nodeid.
    /// - Returns: nil if `known` has been removed meanwhile.
    package func grant(
        _ identity: Identity, known: Node?, lost: Node?, make: (NodeID) -> Node
    ) -> (Node, isNew: Bool)? {
        let shard = shard(identity)
        return shard.nodes.withLock { nodes in
            let asked = Identified(id: 0, identity: identity)
            let index = nodes.firstIndex(of: ByIdentity(asked))
            let found: Node? = if let index { typed(nodes[index].subject) } else { nil }
            if let known, known !== found { return nil }
            if let found, found !== lost {
                found.add(lookups: 1)
                return (found, false)
            }
            let id = lastID.wrappingAdd(1, ordering: .relaxed).newValue
            let node = make(id)
            node.add(lookups: 1)
            self.shard(id).insert(node)
            nodes.update(with: ByIdentity(node))
            note(node)
            return (node, true)
        }
    }

    /// Adds the root, whose nodeid is `rootNodeID`.
    package func insert(root node: Node) {
        shard(node.id).insert(node)
        shard(node.identity).insert(node)
        note(node)
    }

    private func note(_ node: Node) {
        gauge?.add(1)
        known?.insert(node.id)
    }

    /// Removes a node that has no lookups left. The caller holds the lock of its identity.
    /// - Returns: false if it has been looked up since.
    package func removeUnlessUsed(_ node: Node) -> Bool {
        let isRemoved = shard(node.identity).nodes.withLock { nodes in
            guard node.lookups.load(ordering: .sequentiallyConsistent) <= 0 else { return false }
            node.isKnown.store(false, ordering: .relaxed)
            // After its inode number was reused another node may be there.
            if let index = nodes.firstIndex(of: ByIdentity(node)), nodes[index].subject === node {
                nodes.remove(at: index)
            }
            return true
        }
        guard isRemoved else { return false }
        gauge?.add(-1)
        known?.remove(node.id)
        shard(node.id).remove(node)
        return true
    }

    private func shard(_ id: NodeID) -> Shard<ByID> {
        byID[Int(truncatingIfNeeded: id) & (byID.count - 1)]
    }

    private func shard(_ identity: Identity) -> Shard<ByIdentity> {
        byIdentity[Int(truncatingIfNeeded: identity.lockKey) & (byIdentity.count - 1)]
    }
}

/// A set of nodes, outside of the generic class so that it is compiled for its members. A dictionary would store
/// each key twice, because it is also in the node.
private final class Shard<Member: NodeMember>: Sendable {
    let nodes = Mutex<Set<Member>>([])

    func find(_ asked: Identified) -> Identified? {
        nodes.withLock { nodes in
            nodes.firstIndex(of: Member(asked)).map { nodes[$0].subject }
        }
    }

    func insert(_ node: Identified) {
        nodes.withLock { _ = $0.update(with: Member(node)) }
    }

    func remove(_ node: Identified) {
        nodes.withLock { nodes in
            // After its inode number was reused another node may be there.
            guard let index = nodes.firstIndex(of: Member(node)), nodes[index].subject === node
            else { return }
            nodes.remove(at: index)
        }
    }
}

/// A node in a set, or a key to search for one.
private protocol NodeMember: Hashable, Sendable {
    var subject: Identified { get }
    init(_ subject: Identified)
}

private struct ByID: NodeMember {
    let subject: Identified
    init(_ subject: Identified) { self.subject = subject }
    static func == (left: Self, right: Self) -> Bool { left.subject.id == right.subject.id }
    func hash(into hasher: inout Hasher) { hasher.combine(subject.id) }
}

private struct ByIdentity: NodeMember {
    let subject: Identified
    init(_ subject: Identified) { self.subject = subject }
    static func == (left: Self, right: Self) -> Bool {
        left.subject.identity == right.subject.identity
    }
    func hash(into hasher: inout Hasher) { hasher.combine(subject.identity) }
}
