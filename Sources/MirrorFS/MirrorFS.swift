import FuseSession
import Glibc
import KernelCache
import Logging
import Synchronization
import Syscall
import SystemPackage

/// A read-write mirror of a directory, SOURCE.
///
/// Access is the kernel's business: mount with `default_permissions`.
public final class MirrorFS: FileSystem {
    public struct Options: Sendable {
        /// Seconds for which the kernel may keep a name. Must be 0 where the kernel cache is on:
        /// a name in the kernel's dentry cache is not taken back by `Coherence`.
        public var entryTimeout = 0.0
        /// Seconds for which the kernel may keep attributes; as `entryTimeout`.
        public var attributeTimeout = 0.0
        /// Obey the access control lists of SOURCE, if it keeps any.
        public var accessControlLists = true
        /// How many files the process may have open; nil for its limit of open files.
        public var openFiles: Int?
        /// About how many nodes are kept open; nil for half of `openFiles`. Fewer, the more of the
        /// other half programs have open.
        public var openNodes: Int?
        /// Watches SOURCE; see `followSource`.
        public var watcher: SourceWatcher?
        /// Where changes in SOURCE are counted; nil: nowhere.
        public var gauges: CacheGauges?

        public init() {}
    }

    let nodes: NodeTable
    let coherence: Coherence
    let options: Options
    let ownership = Ownership()
    let log: Logger
    let statisticsKeeper = StatisticsKeeper()
    let expiry = Expiry()
    let verification = Expiry()
    private let ownDevice = Atomic<UInt64>(UInt64.max)
    private let miscounted = Atomic(false)

    /// - Parameters:
    ///   - source: the directory to mirror; it is found again by descriptor, not by this path.
    ///   - nodes: the table that `coherence`'s kernel cache credits lookups to; empty.
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
            // A quarter is left for what is open for a moment, and while a pass is under way.
            nodes.descriptors.start(
                root: fd, limit: options.openNodes ?? descriptors / 2, room: descriptors / 4 * 3)
            let status = try Syscall.status(fd)
            let identity = Identity(status)
            let coverage = options.watcher?.cover(identity, mode: status.st_mode, fd) ?? .whole
            _ = nodes.insertRoot(identity, owning: fd, coverage)
        } catch {
            Syscall.close(fd)
            throw error
        }
    }

    deinit { destroy() }

    public func initialize(_ connection: inout Connection) {
        connection.wanted.subtract([
            // Two more system calls per request, to save one copy in large writes.
            .spliceRead,
            // With it the kernel leaves the set-user-id bits of a file that it truncates.
            .atomicTruncate,
            // The daemon writes with CAP_FSETID, by which SOURCE would keep set-user-id bits.
            .handlesKillPrivileges,
        ])
        // Large reads go from SOURCE's page cache to the mount's without a buffer in between.
        connection.wanted.insert(.spliceWrite)
        // A symbolic link never changes: the kernel may keep the target as long as the node.
        connection.wanted.insert(.cacheSymlinks)
        if options.accessControlLists, keepsAccessControlLists {
            // With the lists goes the umask, see `Ownership`.
            connection.wanted.formUnion([.accessControlLists, .leavesMask])
        }
        // Pays only where somebody remembers what it returns.
        if coherence.isAccelerated || options.entryTimeout > 0 {
            connection.wanted.formUnion([.readDirectoryPlus, .readDirectoryPlusAdaptive])
        }
    }

    public func destroy() {
        statisticsKeeper.stop()
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
        // The kernel asks for these only of a file system that NFS exports, which this is not.
        if isDotOrDotDot(name) { throw .invalidArgument }
        return try coherence.withNames(of: parent.id) { (names) throws(Errno) in
            do throws(Errno) {
                return try find(names, parent, name)
            } catch {
                if error == .noSuchFileOrDirectory, parent.isCached {
                    names.publishAbsence(parent: parent.id, name: name)
                }
                throw error
            }
        }
    }

    public func forget(node id: NodeID, count: UInt64) {
        guard id != rootNodeID, let node = nodes.node(id) else { return }
        forget(node, count: count)
    }

    func forget(_ node: Node, count: UInt64) {
        let id = node.id
        try? coherence.withNode(node.lockKey) { (hold) throws(Errno) in
            // Removed since it was found: its identity may belong to another node by now.
            guard node.isKnown.load(ordering: .relaxed) else { return }
            let granted = hold.harvest(nodeid: id) &- count
            guard node.add(lookups: Int64(truncatingIfNeeded: granted)) <= 0 else { return }
            // From here on the kernel cache grants no more.
            let late = hold.retire(nodeid: id)
            let left = node.add(lookups: Int64(truncatingIfNeeded: late))
            guard left <= 0 else { return }
            if left < 0, !miscounted.exchange(true, ordering: .relaxed) {
                log.error("the kernel forgot node \(id) \(-left) times more than it looked it up")
            }
            nodes.remove(node)
            options.watcher?.uncover(node.coverage)
        }
    }

    public func attributes(
        _ context: RequestContext, of id: NodeID, handle: FileHandle?
    ) throws(Errno) -> Attributes {
        // The node's own descriptor stands for the same file as the handle's.
        Attributes(try status(of: try node(id)), timeout: options.attributeTimeout)
    }

    // MARK: For all operations

    /// - Throws: `ESTALE` for a nodeid that the kernel cannot know.
    @inline(__always)
    func node(_ id: NodeID) throws(Errno) -> Node {
        guard let node = nodes.node(id) else { throw .staleNFSFileHandle }
        try node.use()
        return node
    }

    /// Reads and publishes the attributes of `node`.
    func status(of node: Node) throws(Errno) -> stat {
        guard coherence.isAccelerated else { return try Syscall.status(node.fd) }
        return try coherence.withNode(node.lockKey) { (hold) throws(Errno) in
            try publish(hold, node)
        }
    }

    /// To be called after reading data, which changes the access time, and after whatever else lets
    /// SOURCE change attributes by itself.
    func touched(_ node: Node) {
        if coherence.isAccelerated { _ = try? status(of: node) }
    }

    /// Publishes the attributes of `node`, read again. If that fails the maps have none.
    @discardableResult
    func publish(_ hold: borrowing NodeHold, _ node: Node) throws(Errno) -> stat {
        let status: stat
        do throws(Errno) {
            status = try Syscall.status(node.fd)
        } catch {
            hold.revoke(nodeid: node.id)
            throw error
        }
        if node.isCached, node.isKnown.load(ordering: .relaxed) {
            hold.publish(nodeid: node.id, attributes: status, &node.versions)
        }
        return status
    }

    /// Finds `name` in SOURCE, counts one lookup of its node and publishes both.
    ///
    /// The caller holds the names of `parent`, and no node.
    func find(
        _ names: borrowing NameHold, _ parent: Node, _ name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry {
        nodes.descriptors.trim(nodes)
        let seen = try Syscall.status(at: parent.fd, name)
        // The mount itself, seen in SOURCE: a tree that contains itself has no end.
        if UInt64(seen.st_dev) == ownDevice.load(ordering: .relaxed) {
            throw .tooManySymbolicLinkLevels
        }
        // A known node holds its file open, so the same identity is the same file.
        var entry = try grant(seen, adopting: nil)
        if entry == nil {
            let fd = try Syscall.open(at: parent.fd, name, flags: Flag.path | O_NOFOLLOW)
            do throws(Errno) {
                // Between the two calls somebody else may have put another file there.
                entry = try grant(try Syscall.status(fd), adopting: fd)
            } catch {
                Syscall.close(fd)
                throw error
            }
        }
        guard let entry else { throw .ioError }
        if parent.isCached {
            names.publish(parent: parent.id, name: name, nodeid: entry.nodeID)
        }
        return entry
    }

    /// Counts a lookup of the file that `seen` describes and publishes its attributes.
    /// - Parameter fd: becomes a new node's if there is none yet, else it is closed. Remains the
    ///   caller's if this throws.
    /// - Returns: nil if there is neither a node nor `fd`.
    private func grant(
        _ seen: stat, adopting fd: FileDescriptor?
    ) throws(Errno) -> Entry? {
        let identity = Identity(seen)
        return try coherence.withNode(identity.lockKey) { (hold) throws(Errno) -> Entry? in
            var known = nodes.node(identity)
            do throws(Errno) {
                try known?.use()
            } catch {
                // It was parked and its file is gone: this is another one with its inode number.
                guard error == .staleNFSFileHandle else { throw error }
                known = nil
            }
            guard let source = known?.fd ?? fd else { return nil }
            // SOURCE bound into itself: the kernel takes no root for a child.
            if known?.id == rootNodeID { throw .tooManySymbolicLinkLevels }
            // Before its state is read: from then on a change is told.
            let coverage =
                known?.coverage
                ?? options.watcher?.cover(identity, mode: seen.st_mode, source) ?? .whole
            // Read again under the lock, since only then it may be published.
            let status: stat
            do throws(Errno) {
                status = coherence.isAccelerated ? try Syscall.status(source) : seen
            } catch {
                if known == nil { options.watcher?.uncover(coverage) }
                throw error
            }
            let node = known ?? nodes.insert(identity, owning: source, coverage)
            if known != nil, let fd { Syscall.close(fd) }
            node.add(lookups: 1)
            if node.isCached { hold.publish(nodeid: node.id, attributes: status, &node.versions) }
            return Entry(
                nodeID: node.id, attributes: status, entryTimeout: options.entryTimeout,
                attributeTimeout: options.attributeTimeout)
        }
    }
}

/// "." or "..".
func isDotOrDotDot(_ name: UnsafePointer<CChar>) -> Bool {
    let dot = CChar(UInt8(ascii: "."))
    return name[0] == dot && (name[1] == 0 || (name[1] == dot && name[2] == 0))
}
