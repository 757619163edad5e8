import FuseSession
import Glibc
import Synchronization
import SystemPackage

/// All nodes that the kernel may know, by nodeid and by identity.
///
/// Its locks are leaf locks: nothing is called under them. A node is removed under its lock in
/// `Coherence`, so a node that is found stays while that lock is held.
public final class NodeTable: Sendable {
    /// A set of nodes. A dictionary would store each key twice, because it is also in the node.
    private final class Shard<Member: NodeMember>: Sendable {
        let nodes = Mutex<Set<Member>>([])

        func find(_ asked: Identified) -> Node? {
            nodes.withLock { nodes in
                nodes.firstIndex(of: Member(asked)).flatMap { nodes[$0].subject as? Node }
            }
        }

        func insert(_ node: Node) {
            nodes.withLock { _ = $0.update(with: Member(node)) }
        }

        func remove(_ node: Node) {
            nodes.withLock { nodes in
                // After its inode number was reused another node may be there.
                guard let index = nodes.firstIndex(of: Member(node)), nodes[index].subject === node
                else { return }
                nodes.remove(at: index)
            }
        }
    }

    // More shards: fewer waits between busy threads, 100 bytes each.
    private static let shardBits = 6
    private let byID = (0..<1 << shardBits).map { _ in Shard<ByID>() }
    private let byIdentity = (0..<1 << shardBits).map { _ in Shard<ByIdentity>() }
    /// nodeids are never reused; 1 is the root.
    private let lastID = Atomic<NodeID>(rootNodeID)
    private let gauge: NodeGauge?
    private let known: KnownNodes?
    let descriptors = DescriptorPool()

    /// - Parameters:
    ///   - gauge: 8 bytes, zero, that outlive the table: always the number of nodes, for other
    ///     processes.
    ///   - known: always the set of nodes, for another process.
    public init(gauge: UnsafeMutableRawPointer? = nil, known: KnownNodes? = nil) {
        self.gauge = gauge.map(NodeGauge.init)
        self.known = known
    }

    /// Counts lookups of `nodeid` that the kernel cache granted. For `KernelCache`, which calls it
    /// under one of its locks; ignores unknown nodeids.
    public func credit(nodeid: UInt64, lookups: UInt64) {
        node(nodeid)?.add(lookups: Int64(truncatingIfNeeded: lookups))
    }

    /// The nodeids of all nodes in the table.
    var ids: [NodeID] {
        byID.flatMap { shard in shard.nodes.withLock { $0.map(\.subject.id) } }
    }

    /// The number of nodes in the table, including the root.
    public var count: Int {
        byID.reduce(0) { sum, shard in sum + shard.nodes.withLock { $0.count } }
    }

    func node(_ id: NodeID) -> Node? {
        shard(id).find(Identified(id: id, identity: .none))
    }

    func node(_ identity: Identity) -> Node? {
        shard(identity).find(Identified(id: 0, identity: identity))
    }

    /// Counts a lookup of the node of `identity`, which is `known` if not nil, or of a new one;
    /// against `removeUnlessUsed`, so that the caller need not hold the lock of `identity`.
    /// - Parameters:
    ///   - lost: a node whose file no longer exists: a new one replaces it.
    ///   - fd: for a new node, which takes ownership.
    ///   - isGuest: a new node is on another mount than SOURCE's own.
    ///   - isNamed: a new node has no handle; the caller adds it to `Origins`.
    /// - Returns: nil if `known` has been removed meanwhile, and there is no `fd`.
    func grant(
        _ identity: Identity, known: Node?, lost: Node?, owning fd: FileDescriptor?,
        _ coverage: SourceWatcher.Coverage, isGuest: Bool, isNamed: Bool
    ) -> (Node, isNew: Bool)? {
        let shard = shard(identity)
        return shard.nodes.withLock { nodes in
            let asked = Identified(id: 0, identity: identity)
            let found = nodes.firstIndex(of: ByIdentity(asked)).flatMap {
                nodes[$0].subject as? Node
            }
            if let known, known === found {
                known.add(lookups: 1)
                return (known, false)
            }
            guard let fd else { return nil }
            if let found, found !== lost {
                found.add(lookups: 1)
                return (found, false)
            }
            let id = lastID.wrappingAdd(1, ordering: .relaxed).newValue
            let node = Node(
                id: id, identity: identity, owning: fd, pool: descriptors, coverage: coverage,
                isGuest: isGuest, isNamed: isNamed)
            node.add(lookups: 1)
            self.shard(id).insert(node)
            nodes.update(with: ByIdentity(node))
            note(node)
            return (node, true)
        }
    }

    /// Adds the root. Takes ownership of `fd`.
    func insertRoot(
        _ identity: Identity, owning fd: FileDescriptor, _ coverage: SourceWatcher.Coverage
    ) -> Node {
        add(
            Node(
                id: rootNodeID, identity: identity, owning: fd, pool: descriptors,
                coverage: coverage))
    }

    private func add(_ node: Node) -> Node {
        shard(node.id).insert(node)
        shard(node.identity).insert(node)
        note(node)
        return node
    }

    private func note(_ node: Node) {
        gauge?.add(1)
        known?.insert(node.id)
    }

    /// Removes a node that has no lookups left; its descriptor closes when the last request on it
    /// has ended. The caller holds the lock of its identity.
    /// - Returns: false if it has been looked up since.
    func removeUnlessUsed(_ node: Node) -> Bool {
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

    /// Marks up to `wanted` nodes that were not used lately, and returns them: see `Node.mark`.
    func idle(_ wanted: Int) -> [Node] {
        var found: [Node] = []
        // The first round marks a node as idle unless it is used before the second.
        for _ in 0..<2 {
            for shard in byID where found.count < wanted {
                shard.nodes.withLock { nodes in
                    for member in nodes where found.count < wanted {
                        if let node = member.subject as? Node, node.mark() { found.append(node) }
                    }
                }
            }
        }
        return found
    }

    private func shard(_ id: NodeID) -> Shard<ByID> {
        byID[Int(truncatingIfNeeded: id) & (byID.count - 1)]
    }

    private func shard(_ identity: Identity) -> Shard<ByIdentity> {
        byIdentity[Int(truncatingIfNeeded: identity.lockKey) & (byIdentity.count - 1)]
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
