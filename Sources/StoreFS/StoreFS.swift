import FuseSession
import Glibc
import KernelCache
import Logging
import Synchronization
import Syscall
import SystemPackage

/// Serves a store: nodeids and FORGET, what may be kept where, and what a change invalidates.
///
/// The rules are in docs/coherence.md, "Stores".
final class StoreFS<S: Store>: AsynchronousFileSystem {
    typealias Node = StoreNode<S.ID>

    let store: S
    let nodes: StoreNodes<S.ID>
    let coherence: Coherence
    let clock = ChangeClock()
    let notices: MountNotices
    let log: Logger
    private let cache: KernelCache?
    private let seconds: Double
    /// CLOCK_MONOTONIC in nanoseconds; 0: there is no lease.
    private let lease = Atomic<UInt64>(0)
    private let miscounted = Atomic(false)
    private let dropper = Mutex<CacheDropper?>(nil)
    private let verification = Mutex<Task<Void, Never>?>(nil)

    /// - Parameters:
    ///   - cache: nil where nothing is accelerated.
    ///   - seconds: for which the kernel may keep what it is not notified to drop.
    init(
        _ store: S, nodes: StoreNodes<S.ID>, cache: KernelCache?, notices: MountNotices,
        seconds: Double, settleTicks: UInt32, log: Logger
    ) {
        self.store = store
        self.nodes = nodes
        self.cache = cache
        self.notices = notices
        self.seconds = seconds
        self.log = log
        let native = NativeCaches(
            options: .init(seconds: seconds, keepsPages: true, settleTicks: settleTicks))
        coherence = Coherence(cache: cache, native: native, notices: notices)
    }

    /// After the mount, before the first request is served.
    func start(_ dropper: CacheDropper) {
        notices.use(dropper)
        self.dropper.withLock { $0 = dropper }
    }

    /// Compares so many entries a second from now on.
    func verify(_ rate: Int, _ gauges: CacheGauges?) {
        guard rate > 0, let gauges, cache != nil else { return }
        verification.withLock {
            $0 = Task { [weak self] in await self?.verify(rate: min(rate, 100_000), gauges) }
        }
    }

    /// The mount has ended.
    func stop() {
        verification.withLock { $0?.cancel() }
        dropper.withLock { $0 }?.stop()
        for node in nodes.all { node.pages.end() }
    }

    func initialize(_ connection: inout Connection) {
        // Reads request the attributes if those are not valid: see `PageDrops`.
        connection.wanted.insert(.automaticInvalidation)
        connection.wanted.formUnion([.cacheSymlinks, .parallelDirectoryOperations])
        connection.wanted.subtract([.explicitInvalidation, .atomicTruncate])
        connection.wanted.subtract([.spliceRead, .writebackCache, .handlesKillPrivileges])
    }

    func answer(_ request: FileRequest, from caller: Caller) async throws(Errno) -> FileReply {
        let first = FirstResult<FileReply>()
        let task = Task.immediate { [self] in
            let result: Result<FileReply, Errno>
            do throws(Errno) {
                result = .success(try await perform(request, caller))
            } catch {
                result = .failure(error)
            }
            if first.offer(result) { return }
            // The caller was killed, and the kernel was told `EINTR`: it may still keep the name as it
            // was before, and will not count the lookup.
            if request.changesNames { dropNames() }
            guard case .success(let reply) = result, let node = reply.granted else { return }
            forget(node: node, count: 1)
        }
        return try await withTaskCancellationHandler {
            await first.value
        } onCancel: {
            first.offer(.failure(.interrupted))
            task.cancel()
        }.get()
    }

    private func perform(
        _ request: FileRequest, _ caller: Caller
    ) async throws(Errno) -> FileReply {
        switch request {
        case .lookup(let parent, let name):
            .entry(try await find(name, in: try node(parent)))
        case .attributes(let node):
            .attributes(try await attributes(of: try self.node(node)))
        case .readLink(let node):
            .bytes(try await target(of: try self.node(node)))
        case .statistics:
            .statistics(try await store.statistics())
        case .read(let node, let offset, let count):
            .bytes(try await read(try self.node(node), at: offset, count: count))
        case .readDirectory(let node, let offset, let size):
            .bytes(try await list(try self.node(node), from: offset, size: size))
        // Permanent: the kernel then opens and closes by itself, and sends no more of them.
        case .open, .openDirectory: throw .noFunction
        case .extendedAttribute(let node, let name):
            .bytes(try await extendedAttribute(name, of: try self.node(node)))
        case .extendedAttributeNames(let node):
            .bytes(try await extendedAttributeNames(of: try self.node(node), for: caller))
        default: try await change(request, by: caller)
        }
    }

    // MARK: Nodes

    /// - Throws: `ESTALE` for a nodeid that the kernel cannot know.
    func node(_ id: NodeID) throws(Errno) -> Node {
        guard let node = nodes.node(id) else { throw .staleNFSFileHandle }
        return node
    }

    /// The key of a node's lock, and of its stripe in `clock`.
    func key(_ id: S.ID) -> UInt64 { UInt64(bitPattern: Int64(id.hashValue)) }

    /// The key of a name in `clock`.
    func key(_ name: FileName, in directory: S.ID) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(directory)
        hasher.combine(name)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    func forget(node id: NodeID, count: UInt64) {
        guard id != rootNodeID, let node = nodes.node(id) else { return }
        // Throws only if a wait for the lock is given up, but no caller waits for a FORGET.
        try? coherence.withNode(key(node.id)) { (hold) throws(Errno) in
            guard node.isKnown.load(ordering: .relaxed) else { return }
            let excess = hold.forget(nodeid: id, count: count) { node.add(lookups: $0) }
            guard let excess else { return }
            if excess > 0, !miscounted.exchange(true, ordering: .relaxed) {
                log.error("the kernel forgot node \(id) \(excess) times more than it looked it up")
            }
            if let times = nodes.removeUnlessUsed(node) { store.forget(node.id, times: times) }
        }
    }

    // MARK: Keeping

    /// Seconds for which the store lets an answer be kept that is returned now; 0: not at all.
    func remaining<V>(_ kept: Answer<V>.Kept) -> Double {
        switch kept {
        case .forever: return .infinity
        case .no: return 0
        case .untilTold:
            let end = lease.load(ordering: .sequentiallyConsistent)
            guard end != 0 else { return .infinity }
            let now = Syscall.monotonicNanoseconds()
            return end <= now ? 0 : Double(end - now) / 1e9
        }
    }

    /// Publishes `attributes` of `node`, if they may be kept.
    /// - Parameters:
    ///   - remaining: see there.
    ///   - since: the clock before the store was asked.
    ///   - isNew: the kernel has nothing of the node yet.
    /// - Returns: seconds for which the kernel may keep them.
    func keep(
        _ hold: borrowing NodeHold, _ node: Node, _ attributes: NodeAttributes,
        for remaining: Double, since: UInt64, isNew: Bool = false
    ) -> Double {
        guard remaining > 0, node.isKnown.load(ordering: .relaxed), !node.pages.isPending,
            clock.permits(key(node.id), since: since)
        else {
            // A removal of one of the file's names may be in progress: see `NodeHold.beginRemoval`.
            _ = hold.answer(nodeid: node.nodeid, isNew: false, isTold: false, &node.versions)
            return 0
        }
        hold.publish(nodeid: node.nodeid, attributes: attributes.status, &node.versions)
        let seconds = hold.answer(
            nodeid: node.nodeid, isNew: isNew, isTold: true, &node.versions)
        return min(seconds, remaining)
    }

    /// Drops all names from the kernel's own cache, if it may keep any: that also unmounts what is mounted
    /// on directories of this mount (`d_invalidate` in fs/dcache.c).
    func dropNames() {
        if seconds > 0 { _ = notices.notifier.dropNames() }
    }

    /// Marks the kernel's pages of `node`, or its listing, as old.
    func dropPages(of node: Node) {
        if let dropper = dropper.withLock({ $0 }) { node.pages.want(node.nodeid, dropper) }
    }

    /// Calls `body` when the kernel has applied the reply to the request that holds `directory`.
    func whenFree(_ directory: NodeID, _ body: @escaping @Sendable () -> Void) {
        dropper.withLock { $0 }?.drop(.turn, in: directory, done: body)
    }

    func extendLease(until end: UInt64) {
        lease.store(end, ordering: .sequentiallyConsistent)
        cache?.setLease(until: end)
    }

    /// Drops everything that was read before.
    func loseEverything() {
        clock.changeAll()
        coherence.dropEverything()
        coherence.voidReaders()
        dropNames()
        for node in nodes.all {
            try? coherence.withNode(key(node.id)) { (hold) throws(Errno) in
                hold.void(nodeid: node.nodeid, &node.versions)
            }
            dropPages(of: node)
        }
    }
}
