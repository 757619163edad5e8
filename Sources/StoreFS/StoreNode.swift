import FuseSession
import KernelCache
import Synchronization

/// A node of a store that the kernel knows by a nodeid.
final class StoreNode<ID: Hashable & Sendable>: @unchecked Sendable {
    // Safe to share: `versions` is guarded by the node's lock in `Coherence`, the rest is constant,
    // atomic or locked.
    let nodeid: NodeID
    let id: ID
    /// How often the store has returned it. Guarded by the table's lock.
    fileprivate var finds = 0
    /// Lookups granted and not forgotten.
    let lookups = Atomic<Int64>(0)
    /// False once the node has left the table. Written under the node's lock.
    let isKnown = Atomic(true)
    /// Accessed only under the node's lock.
    var versions = Versions()
    let pages = PageDrops()
    /// The listing in progress, if it is a directory: see `Listing`.
    let listing = Mutex<Listing?>(nil)
    /// READs begun and in progress: see `StoreFS.write`.
    let readsBegun = Atomic<UInt64>(0)
    let readsUnderWay = Atomic<Int>(0)

    init(nodeid: NodeID, id: ID) {
        self.nodeid = nodeid
        self.id = id
    }

    func add(lookups count: Int64) -> Int64 {
        lookups.wrappingAdd(count, ordering: .sequentiallyConsistent).newValue
    }
}

/// The nodes that the kernel may know. Its lock is a leaf lock.
final class StoreNodes<ID: Hashable & Sendable>: Sendable {
    private struct Tables {
        var byNodeID: [NodeID: StoreNode<ID>] = [:]
        var byID: [ID: StoreNode<ID>] = [:]
        /// nodeids are never reused.
        var last = rootNodeID
    }

    private let tables: Mutex<Tables>
    private let gauge: NodeGauge?
    private let known: KnownNodes?

    /// - Parameters:
    ///   - gauge: kept at the number of nodes, for another process to read; 8 bytes, zero.
    ///   - known: kept at which nodes there are, for the guardian.
    init(root: ID, gauge: UnsafeMutableRawPointer? = nil, known: KnownNodes? = nil) {
        self.gauge = gauge.map(NodeGauge.init)
        self.known = known
        self.gauge?.add(1)
        let node = StoreNode(nodeid: rootNodeID, id: root)
        tables = Mutex(Tables(byNodeID: [rootNodeID: node], byID: [root: node]))
    }

    func node(_ nodeid: NodeID) -> StoreNode<ID>? { tables.withLock { $0.byNodeID[nodeid] } }

    func node(_ id: ID) -> StoreNode<ID>? { tables.withLock { $0.byID[id] } }

    var all: [StoreNode<ID>] { tables.withLock { Array($0.byNodeID.values) } }

    /// Counts a lookup of `id`, which the store has returned.
    func grant(_ id: ID) -> (StoreNode<ID>, isNew: Bool) {
        tables.withLock { tables in
            if let node = tables.byID[id] {
                _ = node.add(lookups: 1)
                node.finds += 1
                return (node, false)
            }
            tables.last += 1
            let node = StoreNode(nodeid: tables.last, id: id)
            _ = node.add(lookups: 1)
            node.finds = 1
            tables.byNodeID[node.nodeid] = node
            tables.byID[id] = node
            gauge?.add(1)
            known?.insert(node.nodeid)
            return (node, true)
        }
    }

    /// Removes a node that has no lookups left. The caller holds its lock.
    /// - Returns: how often the store has returned it; nil if it has been looked up since.
    func removeUnlessUsed(_ node: StoreNode<ID>) -> Int? {
        tables.withLock { tables in
            guard node.lookups.load(ordering: .sequentiallyConsistent) <= 0 else { return nil }
            node.isKnown.store(false, ordering: .relaxed)
            tables.byNodeID[node.nodeid] = nil
            tables.byID[node.id] = nil
            gauge?.add(-1)
            known?.remove(node.nodeid)
            return node.finds
        }
    }
}
