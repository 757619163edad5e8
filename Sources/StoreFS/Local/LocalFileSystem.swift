import FuseSession
import Glibc
import KernelCache
import Logging
import Synchronization
import SystemPackage

/// A file system that answers at once, on the thread that received the request: over a local directory,
/// for example. Unlike a `Store` it has handles, and is asked while the locks of `Coherence` are held: what
/// it reads under a lock is the current state, and is published under that lock.
///
/// It implements the operations of `FileSystem`. The extensions of this protocol do the rest: nodeids, nlookup
/// and FORGET, what may be kept and where, the order of a change, what the kernel must drop when
/// others change something, and verification. docs/coherence.md says which locks are held meanwhile.
package protocol LocalFileSystem: FileSystem {
    associatedtype Node: AnyLocalNode

    var local: LocalState<Node> { get }

    /// The node of a request, which can be used until that ends.
    /// - Throws: `ESTALE` for a nodeid that the kernel cannot know, and if the file no longer exists.
    func node(_ id: NodeID) throws(Errno) -> Node
    /// The attributes of `node` as the mount shows them.
    func readStatus(of node: Node) throws(Errno) -> stat
    /// The attributes of the file at `place`, of which `Identity` is made; a symbolic link is not followed.
    func readStatus(at place: Place<Node>) throws(Errno) -> stat
    /// Opens a file for `body`, which reads blocks of it (at multiples of `KernelCache.blockSize`), without
    /// leaving a trace; each is valid until the next.
    func withReader<R>(
        of node: Node,
        _ body: ((_ index: UInt64) throws(Errno) -> UnsafeRawBufferPointer) throws(Errno) -> R
    ) throws(Errno) -> R
    /// Finds `place`, counts one lookup of its node and publishes both.
    ///
    /// The caller holds the names of the directory, and no node.
    /// - Parameter made: for the reply to the request that created the name. The kernel applies it
    ///   without checking for newer attributes, so the attributes of a file that it knew before
    ///   must not be kept.
    func find(
        _ names: borrowing NameHold, _ place: Place<Node>, made: Bool
    ) throws(Errno) -> Entry
    /// `node` has left the table. It is called under the node's lock.
    func wasForgotten(_ node: Node)
}

/// A name in a directory, which may exist or not.
package struct Place<Node: AnyLocalNode> {
    package let directory: Node
    package let name: UnsafePointer<CChar>

    package init(directory: Node, name: UnsafePointer<CChar>) {
        self.directory = directory
        self.name = name
    }
}

/// What the library keeps for a local file system.
package final class LocalState<Node: AnyLocalNode>: Sendable {
    package let nodes: LocalNodes<Node>
    package let coherence: Coherence
    package let log: Logger
    let notices: MountNotices?
    let gauges: CacheGauges?
    let dropper = Mutex<CacheDropper?>(nil)
    let listingsWithNodes = ListingsWithNodes()
    let miscounted = Atomic(false)
    let lateForgets = LateWork("forget")
    let verification = Expiry()

    /// - Parameters:
    ///   - nodes: the table to which `coherence`'s kernel cache credits lookups.
    ///   - coherence: this mount's locks, and the caches to which it publishes.
    ///   - notices: notifies the kernel of what to drop; nil where it keeps nothing.
    ///   - gauges: where changes by others and comparisons are counted; nil: nowhere.
    package init(
        nodes: LocalNodes<Node>, coherence: Coherence, notices: MountNotices?,
        gauges: CacheGauges?, log: Logger
    ) {
        self.nodes = nodes
        self.coherence = coherence
        self.notices = notices
        self.gauges = gauges
        self.log = log
    }
}

extension LocalFileSystem {
    var coherence: Coherence { local.coherence }

    // MARK: Requests

    /// LOOKUP.
    package func entry(
        of name: UnsafePointer<CChar>, in parent: NodeID
    ) throws(Errno) -> Entry {
        let parent = try node(parent)
        // The kernel looks these up only for NFS exports, which are not supported.
        if isDotOrDotDot(name) { throw .invalidArgument }
        return try coherence.reading(namesOf: parent.id) { (names) throws(Errno) in
            do throws(Errno) {
                return try find(names, Place(directory: parent, name: name), made: false)
            } catch {
                guard error == .noSuchFileOrDirectory, parent.isCached else { throw error }
                let seconds = names.publish(
                    parent: parent.id, name: name, nodeid: 0, isTold: parent.isTold)
                guard seconds > 0 else { throw error }
                return Entry(nodeID: 0, attributes: stat(), entryTimeout: seconds)
            }
        }
    }

    /// GETATTR. The attributes of a file that is open are those of its node.
    package func attributes(of id: NodeID) throws(Errno) -> Attributes {
        let node = try node(id)
        let coherence = coherence
        guard coherence.locksAttributes else { return Attributes(try readStatus(of: node)) }
        return try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            let status = try publish(hold, node)
            return Attributes(status, timeout: timeout(hold, node))
        }
    }

    /// FORGET. The kernel waits for no reply, and may send many: this does not block.
    package func forget(_ node: Node, count: UInt64) {
        guard node.id != rootNodeID else { return }
        let local = local
        try? local.coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            if hold.isLocked { return forget(hold, node, count: count) }
            local.lateForgets.add { [self] in
                try? coherence.withNode(node.lockKey) { (hold) throws(Errno) in
                    forget(hold, node, count: count)
                }
            }
        }
    }

    private func forget(_ hold: borrowing NodeHold, _ node: Node, count: UInt64) {
        // Removed since it was looked up: its identity may belong to another node by now.
        guard node.isKnown.load(ordering: .relaxed) else { return }
        let excess = hold.forget(nodeid: node.id, count: count) { node.add(lookups: $0) }
        guard let excess else { return }
        if excess > 0, !local.miscounted.exchange(true, ordering: .relaxed) {
            local.log.error(
                "the kernel forgot node \(node.id) \(excess) times more than it looked it up")
        }
        if local.nodes.removeUnlessUsed(node) { wasForgotten(node) }
    }
}

/// "." or "..".
package func isDotOrDotDot(_ name: UnsafePointer<CChar>) -> Bool {
    let dot = CChar(UInt8(ascii: "."))
    return name[0] == dot && (name[1] == 0 || (name[1] == dot && name[2] == 0))
}
