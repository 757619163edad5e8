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
public final class MirrorFS: FileSystem, LocalFileSystem {
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

    package let local: LocalState<Node>
    // Those of `local`, without a call.
    let nodes: LocalNodes<Node>
    let coherence: Coherence
    let descriptors: DescriptorPool
    let options: Options
    let ownership = Ownership()
    /// SELinux is active; it cannot be started after boot.
    let hasLabels = Glibc.access("/sys/fs/selinux/enforce", F_OK) == 0
    let numbers: InodeNumbers
    let statisticsKeeper = StatisticsKeeper()
    let expiry = Expiry()
    private let ownDevice = Atomic<UInt64>(UInt64.max)

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
        local = LocalState(
            nodes: nodes.nodes, coherence: coherence, notices: options.notices,
            gauges: options.gauges, log: log)
        self.nodes = nodes.nodes
        self.coherence = coherence
        descriptors = nodes.descriptors
        self.options = options
        let openFiles = options.openFiles ?? Int(clamping: Syscall.raiseOpenFileLimit())
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
            descriptors.start(
                self.nodes, root: fd, limit: options.openNodes ?? openFiles / 2,
                room: openFiles / 4 * 3)
            let status = try Syscall.status(fd)
            let identity = Identity(status)
            numbers = InodeNumbers(own: identity.device)
            let coverage =
                options.watcher?.cover(
                    identity, mode: status.st_mode, fd,
                    handle: try? Syscall.handle(of: fd).handle) ?? .whole
            self.nodes.insert(
                root: Node(
                    id: rootNodeID, identity: identity,
                    MirrorFile(
                        of: rootNodeID, owning: fd, pool: descriptors, coverage: coverage)))
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
        descriptors.guests.stop()
        stopFollowing()
    }

    public func mounted(device: dev_t) {
        ownDevice.store(UInt64(device), ordering: .relaxed)
    }

    public func requestBegins() -> Int {
        descriptors.admit(nodes)
        return descriptors.requests.enter()
    }
    public func requestEnds(_ token: Int) { descriptors.requests.leave(token) }

    // MARK: Nodes

    public func lookup(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry {
        try entry(of: name, in: parent)
    }

    public func forget(node id: NodeID, count: UInt64) {
        if let node = nodes.node(id) { forget(node, count: count) }
    }

    public func attributes(
        _ context: RequestContext, of id: NodeID, handle: FileHandle?
    ) throws(Errno) -> Attributes {
        try attributes(of: id)
    }

    /// False once the kernel has forgotten the node.
    public func knows(_ id: NodeID) -> Bool { nodes.node(id) != nil }

    // MARK: For all operations

    /// The attributes of `fd` as the mount shows them.
    func status(_ fd: FileDescriptor) throws(Errno) -> stat {
        numbers.shown(try Syscall.status(fd))
    }

    @inline(__always)
    package func node(_ id: NodeID) throws(Errno) -> Node {
        guard let node = nodes.node(id) else { throw .staleNFSFileHandle }
        try node.use()
        return node
    }

    package func wasForgotten(_ node: Node) { options.watcher?.uncover(node.coverage) }

    package func readStatus(of node: Node) throws(Errno) -> stat { try status(node.fd) }

    package func readStatus(at place: Place<Node>) throws(Errno) -> stat {
        try Syscall.status(at: place.directory.fd, place.name)
    }

    package func find(
        _ names: borrowing NameHold, _ place: Place<Node>, made: Bool
    ) throws(Errno) -> Entry {
        descriptors.trim(nodes)
        let parent = place.directory
        let seen = try Syscall.status(at: parent.fd, place.name)
        // The mount itself, found in SOURCE: a tree that contains itself has no end.
        if UInt64(seen.st_dev) == ownDevice.load(ordering: .relaxed) {
            throw .tooManySymbolicLinkLevels
        }
        // A known node holds its file open, so the same identity is the same file.
        var entry = try grant(seen, at: place, adopting: nil, made: made)
        if entry == nil {
            let fd = try Syscall.open(at: parent.fd, place.name, flags: Flag.path | O_NOFOLLOW)
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
                parent: parent.id, name: place.name, nodeid: entry.nodeID, isTold: parent.isTold)
        }
        return entry
    }

    /// Counts a lookup of the file that `seen` describes and publishes its attributes.
    /// - Parameter fd: becomes a new node's if there is none yet, otherwise it is closed. Remains
    ///   the caller's if this throws.
    /// - Returns: nil if there is neither a node nor `fd`.
    private func grant(
        _ seen: stat, at place: Place<Node>, adopting fd: FileDescriptor?, made: Bool
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
            // For a new node.
            let isGuest =
                known == nil
                && descriptors.isGuest(
                    onMount: handle?.mountID, isForeign: numbers.isForeign(identity.device))
            let isNamed =
                known == nil
                && !descriptors.hasHandle(
                    source, handle?.handle, guest: isGuest ? identity.device : nil)
            let granted = nodes.grant(identity, known: known, lost: lost) { id in
                Node(
                    id: id, identity: identity,
                    MirrorFile(
                        of: id, owning: source, pool: descriptors, coverage: coverage,
                        isGuest: isGuest, isNamed: isNamed))
            }
            guard let (node, isNew) = granted else { throw .staleNFSFileHandle }
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
    func noteOrigin(of node: Node?, _ place: Place<Node>) {
        guard let node, node.isNamed else { return }
        descriptors.origins.note(node.id, in: place.directory.id, place.name)
    }
}
