import FuseSession
import Glibc
import KernelCache
import Logging
import StoreFS
import Synchronization
import Syscall
import SystemPackage

/// A read-write mirror of a directory, SOURCE.
///
/// The kernel checks permissions: mount with `default_permissions`.
public final class MirrorFS: FileSystem {
    public struct Options: Sendable {
        /// Which access times in SOURCE reading changes, if SOURCE's own mount allows it.
        public var accessTimes = AccessTimes.all
        /// Enforce the access control lists of SOURCE, if it has any.
        public var accessControlLists = true
        /// How many files the process may have open; nil for its limit of open files.
        public var openFiles: Int?
        /// About how many nodes are kept open; nil for half of `openFiles`. Fewer if programs have
        /// many files open.
        public var openNodes: Int?
        /// The kernel opens and closes files without requests (FUSE_NO_OPEN_SUPPORT). Only where it
        /// is notified of what to drop from its page cache.
        public var opensInKernel = false
        /// Watches SOURCE; see `followSource`.
        public var watcher: SourceWatcher?
        /// Notifies the kernel of what to drop from its own caches; nil where it keeps nothing.
        package var notices: MountNotices?
        /// Where changes in SOURCE are counted; nil: nowhere.
        public var gauges: CacheGauges?

        public init() {}
    }

    /// Those of everything read, of all except directories (`nodiratime`), or none (`noatime`,
    /// `ro`).
    public enum AccessTimes: Sendable {
        case all, notOfDirectories, none

        /// For opening a file.
        var flag: Int32 { self == .none ? Flag.noAccessTime : 0 }
    }

    let nodes: NodeTable
    let coherence: Coherence
    let options: Options
    let ownership = Ownership()
    /// SELinux is active; it cannot be started after boot.
    let hasLabels = Glibc.access("/sys/fs/selinux/enforce", F_OK) == 0
    let numbers: InodeNumbers
    let log: Logger
    let statisticsKeeper = StatisticsKeeper()
    let expiry = Expiry()
    let verification = Expiry()
    let listingsWithNodes = ListingsWithNodes()
    private let ownDevice = Atomic<UInt64>(UInt64.max)
    private let miscounted = Atomic(false)
    private let lateForgets = LateWork("forget")
    /// Set by `followSource`.
    let dropper = Mutex<CacheDropper?>(nil)

    /// - Parameters:
    ///   - source: the directory to mirror; later it is accessed by descriptor, not by this path.
    ///   - nodes: the table to which `coherence`'s kernel cache credits lookups; empty.
    ///   - coherence: this mount's locks, and the caches to which it publishes.
    ///   - options: access times and access control lists, how many files may be open, and the
    ///     watcher of SOURCE.
    ///   - log: receives warnings and errors, such as that events of SOURCE were lost.
    /// - Throws: what opening `source` throws, `ENOTDIR`.
    ///
    /// Raises the process's limit of open files: a node in use holds one.
    public init(
        source: FilePath, nodes: NodeTable = NodeTable(), coherence: Coherence,
        options: Options = Options(), log: Logger = Logger(label: "mirror")
    ) throws(Errno) {
        self.nodes = nodes
        self.coherence = coherence
        self.options = options
        self.log = log
        let descriptors = options.openFiles ?? Int(clamping: Syscall.raiseOpenFileLimit())
        let fd: FileDescriptor
        do {
            fd = try source.withPlatformString {
                try Syscall.open($0, flags: Flag.path | O_DIRECTORY)
            }
        } catch {
            throw error as? Errno ?? .ioError
        }
        do throws(Errno) {
            // A quarter is left for files that are open for a short time, and for the duration of a
            // pass.
            nodes.descriptors.start(
                nodes, root: fd, limit: options.openNodes ?? descriptors / 2,
                room: descriptors / 4 * 3)
            let status = try Syscall.status(fd)
            let identity = Identity(status)
            numbers = InodeNumbers(own: identity.device)
            let coverage =
                options.watcher?.cover(
                    identity, mode: status.st_mode, fd,
                    handle: try? Syscall.handle(of: fd).handle) ?? .whole
            _ = nodes.insertRoot(identity, owning: fd, coverage)
        } catch {
            Syscall.close(fd)
            throw error
        }
    }

    deinit { destroy() }

    public func initialize(_ connection: inout Connection) {
        connection.wanted.subtract([
            // Costs two more system calls per request, and saves one copy in large writes.
            .spliceRead,
            // With it the kernel keeps the set-user-id bits of a file that it truncates.
            .atomicTruncate,
            // The daemon writes with CAP_FSETID, with which SOURCE would keep set-user-id bits.
            .handlesKillPrivileges,
        ])
        // Large reads go from SOURCE's page cache to the mount's without an intermediate buffer.
        connection.wanted.insert(.spliceWrite)
        // A symbolic link never changes: the kernel may keep its target as long as the node.
        connection.wanted.insert(.cacheSymlinks)
        if options.accessControlLists, keepsAccessControlLists {
            // The umask depends on the lists, see `Ownership`.
            connection.wanted.formUnion([.accessControlLists, .leavesMask])
        }
        // Useful only where its results are cached.
        if coherence.isCaching {
            connection.wanted.formUnion([.readDirectoryPlus, .readDirectoryPlusAdaptive])
        }
        // Pages are dropped by notifications, not with each new modification time.
        if coherence.usesNativeCaches, coherence.keepsPages {
            connection.wanted.subtract(.automaticInvalidation)
            connection.wanted.insert(.explicitInvalidation)
        }
    }

    public func destroy() {
        statisticsKeeper.stop()
        nodes.descriptors.guests.stop()
        stopFollowing()
    }

    public func mounted(device: dev_t) {
        ownDevice.store(UInt64(device), ordering: .relaxed)
    }

    public func requestBegins() -> Int {
        nodes.descriptors.admit(nodes)
        return nodes.descriptors.requests.enter()
    }
    public func requestEnds(_ token: Int) { nodes.descriptors.requests.leave(token) }

    // MARK: Nodes

    public func lookup(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry {
        let parent = try node(parent)
        // The kernel looks these up only for NFS exports, which this file system does not support.
        if isDotOrDotDot(name) { throw .invalidArgument }
        return try coherence.reading(namesOf: parent.id) { (names) throws(Errno) in
            do throws(Errno) {
                return try find(names, parent, name)
            } catch {
                guard error == .noSuchFileOrDirectory, parent.isCached else { throw error }
                let seconds = names.publish(
                    parent: parent.id, name: name, nodeid: 0, isTold: parent.isTold)
                guard seconds > 0 else { throw error }
                return Entry(nodeID: 0, attributes: stat(), entryTimeout: seconds)
            }
        }
    }

    public func forget(node id: NodeID, count: UInt64) {
        guard id != rootNodeID, let node = nodes.node(id) else { return }
        forget(node, count: count)
    }

    /// The kernel waits for no reply to this, and may send many: it must not block.
    func forget(_ node: Node, count: UInt64) {
        try? coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            if hold.isLocked { return forget(hold, node, count: count) }
            lateForgets.add { [self] in
                try? coherence.withNode(node.lockKey) { (hold) throws(Errno) in
                    forget(hold, node, count: count)
                }
            }
        }
    }

    private func forget(_ hold: borrowing NodeHold, _ node: Node, count: UInt64) {
        let id = node.id
        // Removed since it was looked up: its identity may belong to another node by now.
        guard node.isKnown.load(ordering: .relaxed) else { return }
        let excess = hold.forget(nodeid: id, count: count) { node.add(lookups: $0) }
        guard let excess else { return }
        if excess > 0, !miscounted.exchange(true, ordering: .relaxed) {
            log.error("the kernel forgot node \(id) \(excess) times more than it looked it up")
        }
        guard nodes.removeUnlessUsed(node) else { return }
        options.watcher?.uncover(node.coverage)
    }

    public func attributes(
        _ context: RequestContext, of id: NodeID, handle: FileHandle?
    ) throws(Errno) -> Attributes {
        // The node's own descriptor refers to the same file as the handle's.
        let node = try node(id)
        guard coherence.locksAttributes else { return Attributes(try status(node.fd)) }
        return try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            let status = try publish(hold, node)
            return Attributes(status, timeout: timeout(hold, node))
        }
    }

    /// False once the kernel has forgotten the node.
    public func knows(_ id: NodeID) -> Bool { nodes.node(id) != nil }

    // MARK: For all operations

    /// The attributes of `fd` as the mount shows them.
    func status(_ fd: FileDescriptor) throws(Errno) -> stat {
        numbers.shown(try Syscall.status(fd))
    }

    /// - Throws: `ESTALE` for a nodeid that the kernel cannot know.
    @inline(__always)
    func node(_ id: NodeID) throws(Errno) -> Node {
        guard let node = nodes.node(id) else { throw .staleNFSFileHandle }
        try node.use()
        return node
    }

    /// Reads and publishes the attributes of `node`.
    func status(of node: Node) throws(Errno) -> stat {
        guard coherence.isCaching else { return try status(node.fd) }
        return try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            try publish(hold, node)
        }
    }

    /// Call this after reading data, which changes the access time, and after other operations in
    /// which SOURCE changes attributes by itself.
    func touched(_ node: Node) {
        if coherence.isCaching { _ = try? status(of: node) }
    }

    /// Reads the attributes of `node` again and publishes them. If that fails, the maps have none.
    @discardableResult
    func publish(_ hold: borrowing NodeHold, _ node: Node) throws(Errno) -> stat {
        let status: stat
        do throws(Errno) {
            status = try self.status(node.fd)
        } catch {
            hold.revoke(nodeid: node.id, &node.versions)
            throw error
        }
        publish(hold, node, status)
        return status
    }

    private func publish(_ hold: borrowing NodeHold, _ node: Node, _ status: stat) {
        guard hold.isLocked, node.isCached, node.isKnown.load(ordering: .relaxed) else { return }
        if node.isVoid.load(ordering: .relaxed) {
            node.isVoid.store(false, ordering: .relaxed)
            hold.void(nodeid: node.id, &node.versions)
        }
        hold.publish(nodeid: node.id, attributes: status, &node.versions, isTold: node.isTold)
    }

    /// The seconds for which the kernel may keep the attributes of `node` that `publish` has read.
    /// - Parameter isNew: the kernel has nothing of the node yet.
    private func timeout(
        _ hold: borrowing NodeHold, _ node: Node, isNew: Bool = false
    ) -> Double {
        guard node.isKnown.load(ordering: .relaxed) else { return 0 }
        return hold.answer(
            nodeid: node.id, isNew: isNew, isTold: node.isTold, &node.versions)
    }

    /// Finds `name` in SOURCE, counts one lookup of its node and publishes both.
    ///
    /// The caller holds the names of `parent`, and no node.
    /// - Parameter made: for the reply to the request that created the name. The kernel applies it
    ///   without checking for newer attributes, so the attributes of a file that it knew before
    ///   must not be kept.
    func find(
        _ names: borrowing NameHold, _ parent: Node, _ name: UnsafePointer<CChar>,
        made: Bool = false
    ) throws(Errno) -> Entry {
        nodes.descriptors.trim(nodes)
        let seen = try Syscall.status(at: parent.fd, name)
        // The mount itself, found in SOURCE: a tree that contains itself has no end.
        if UInt64(seen.st_dev) == ownDevice.load(ordering: .relaxed) {
            throw .tooManySymbolicLinkLevels
        }
        // A known node holds its file open, so the same identity is the same file.
        let place = Place(directory: parent, name: name)
        var entry = try grant(seen, at: place, adopting: nil, made: made)
        if entry == nil {
            let fd = try Syscall.open(at: parent.fd, name, flags: Flag.path | O_NOFOLLOW)
            do throws(Errno) {
                // The file may have been replaced between the two calls.
                entry = try grant(try Syscall.status(fd), at: place, adopting: fd, made: made)
            } catch {
                Syscall.close(fd)
                throw error
            }
        }
        guard var entry else { throw .ioError }
        if parent.isCached {
            entry.entryTimeout = names.publish(
                parent: parent.id, name: name, nodeid: entry.nodeID, isTold: parent.isTold)
        }
        return entry
    }

    /// Counts a lookup of the file that `seen` describes and publishes its attributes.
    /// - Parameter fd: becomes a new node's if there is none yet, otherwise it is closed. Remains
    ///   the caller's if this throws.
    /// - Returns: nil if there is neither a node nor `fd`.
    private func grant(
        _ seen: stat, at place: Place, adopting fd: FileDescriptor?, made: Bool
    ) throws(Errno) -> Entry? {
        let identity = Identity(seen)
        return try coherence.reading(node: identity.lockKey) { (hold) throws(Errno) -> Entry? in
            var known = nodes.node(identity)
            var lost: Node?
            do throws(Errno) {
                noteOrigin(of: known, place)
                try known?.use()
            } catch {
                // It was parked and its file was removed: this is another one with its inode
                // number.
                guard error == .staleNFSFileHandle else { throw error }
                // No event will refer to it any more.
                if let known, hold.isLocked { hold.void(nodeid: known.id, &known.versions) }
                lost = known
                known = nil
            }
            guard let source = known?.fd ?? fd else { return nil }
            // SOURCE is bind-mounted into itself: the kernel does not accept the root as a child.
            if known?.id == rootNodeID { throw .tooManySymbolicLinkLevels }
            let handle = known == nil ? try? Syscall.handle(of: source) : nil
            // Before its state is read: from then on changes are reported.
            let coverage =
                known?.coverage
                ?? options.watcher?.cover(
                    identity, mode: seen.st_mode, source, handle: handle?.handle) ?? .whole
            // Read again under the lock, because only then may it be published.
            let status: stat
            do throws(Errno) {
                status = coherence.isCaching ? try self.status(source) : numbers.shown(seen)
            } catch {
                if known == nil { options.watcher?.uncover(coverage) }
                throw error
            }
            let isGuest = nodes.descriptors.isGuest(
                onMount: handle?.mountID, isForeign: numbers.isForeign(identity.device))
            guard
                let (node, isNew) = nodes.grant(
                    identity, known: known, lost: lost, owning: known == nil ? fd : nil, coverage,
                    isGuest: isGuest,
                    isNamed: !nodes.descriptors.hasHandle(
                        source, handle?.handle, guest: isGuest ? identity.device : nil))
            else { throw .staleNFSFileHandle }
            if !isNew {
                if let fd { Syscall.close(fd) }
                // Without the lock another thread may have been faster.
                if known == nil { options.watcher?.uncover(coverage) }
            }
            if isNew { noteOrigin(of: node, place) }
            publish(hold, node, status)
            var entry = Entry(nodeID: node.id, attributes: status)
            if isNew || !made { entry.attributeTimeout = timeout(hold, node, isNew: isNew) }
            return entry
        }
    }
}

extension MirrorFS {
    /// Records that the file of `node` is now at `place`.
    func noteOrigin(of node: Node?, _ place: Place) {
        guard let node, node.isNamed else { return }
        nodes.descriptors.origins.note(node.id, in: place.directory.id, place.name)
    }
}

/// "." or "..".
func isDotOrDotDot(_ name: UnsafePointer<CChar>) -> Bool {
    let dot = CChar(UInt8(ascii: "."))
    return name[0] == dot && (name[1] == 0 || (name[1] == dot && name[2] == 0))
}
