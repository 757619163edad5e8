import FuseSession
import Glibc
import StoreFS
import Synchronization
import Syscall
import SystemPackage

/// The descriptors of all nodes: closes some that were not used lately when there are too many,
/// alone or together with the files that programs have open. A node reopens its file by handle, or
/// by name.
///
/// A request that has got a node's descriptor may use it until the request ends. So nodes are first
/// marked, and then closed when all requests that were in progress have ended, unless another one
/// has used them meanwhile.
final class DescriptorPool: Sendable {
    private struct Source {
        /// For opening handles; not `O_PATH`.
        let descriptor: Descriptor
        let mountID: Int32
    }

    /// A closed file, and how to reopen it.
    enum Parked {
        case handle(InodeHandle)
        /// On another mount than SOURCE's own.
        case guest(Guest)
        /// By the name in `Origins`.
        case name
    }

    /// A separate object, because otherwise each node would be larger.
    final class Guest: Sendable {
        let handle: InodeHandle
        /// Of `MountPlaces`.
        let place: Int32

        init(_ handle: InodeHandle, at place: Int32) {
            self.handle = handle
            self.place = place
        }
    }

    let requests = GracePeriod()
    private let places = MountPlaces()
    let origins = Origins()
    private let nodes = Mutex<NodesReference?>(nil)
    private struct NodesReference: Sendable { unowned let table: LocalNodes<Node> }
    let guests = Guests()
    /// By device number: see `forgets`.
    private let forgetful = Mutex<[UInt64: Bool]>([:])
    private let source = Mutex<Source?>(nil)
    private let open = Atomic(0)
    /// Files that are open for programs: only these can close them.
    private let files = Atomic(0)
    private static let unlimited = Int(Int32.max)
    /// Of nodes.
    private let limit = Atomic(unlimited)
    /// Of nodes and files together.
    private let room = Atomic(unlimited)
    /// No pass with fewer nodes than this: the last one could not close any.
    private let stuck = Atomic(0)
    private let isPassing = Atomic(false)
    private let spare = Mutex(makeSpare())

    /// Nodes that are open now.
    var openCount: Int { open.load(ordering: .relaxed) }

    /// More open nodes than this start a pass.
    private var allowed: Int {
        let limit = limit.load(ordering: .relaxed)
        return max(
            min(limit, room.load(ordering: .relaxed) - files.load(ordering: .relaxed)), limit / 8)
    }

    /// With more open nodes than this no request begins during a pass.
    private var ceiling: Int {
        let allowed = allowed
        return allowed + allowed / 4
    }

    /// Starts to limit the number of open nodes to about `limit`, and that of nodes and files to
    /// about `room`. Call it once, before the first of `nodes` is inserted.
    func start(_ nodes: LocalNodes<Node>, root: FileDescriptor, limit: Int, room: Int) {
        self.nodes.withLock { $0 = NodesReference(table: nodes) }
        // No strong references: the table owns this, and this owns the guests.
        guests.start { [unowned self, unowned nodes] in release($0, of: nodes) }
        self.limit.store(min(limit, Self.unlimited), ordering: .relaxed)
        self.room.store(min(room, Self.unlimited), ordering: .relaxed)
        do throws(Errno) {
            let fd = try DescriptorPath(root).withPointer { (path) throws(Errno) in
                try Syscall.open(path, flags: O_RDONLY | O_DIRECTORY)
            }
            let descriptor = Descriptor(owning: fd)
            let (handle, mountID) = try Syscall.handle(of: fd)
            guard !Self.forgets(fd) else { return }
            // If this is not permitted, handles are useless.
            Syscall.close(try Syscall.open(handle, on: fd, flags: Flag.path))
            source.withLock {
                $0 = Source(descriptor: descriptor, mountID: mountID)
            }
        } catch {
            // Then files are reopened by name.
        }
    }

    /// False for a file that cannot be reopened by its handle: it has none, or this process may
    /// not.
    /// - Parameter guest: the device number if it is a guest.
    func hasHandle(_ fd: FileDescriptor, _ handle: InodeHandle?, guest: UInt64?) -> Bool {
        guard handle != nil, source.withLock({ $0 != nil }) else { return false }
        guard let guest else { return true }
        if let known = forgetful.withLock({ $0[guest] }) { return !known }
        // Sends a request to its daemon, so only once for each.
        let forgets = Self.forgets(fd)
        forgetful.withLock { $0[guest] = forgets }
        return !forgets
    }

    /// FUSE has handles, but finds by them only files that its kernel side still has.
    private static func forgets(_ fd: FileDescriptor) -> Bool {
        let type = try? DescriptorPath(fd).withPointer { (path) throws(Errno) in
            try Syscall.fileSystemType(path)
        }
        return type == Syscall.fuseFileSystem
    }

    /// How to reopen `fd`, the file of `node`, after closing it.
    /// - Throws: `EOPNOTSUPP` if there is no way.
    func parked(_ node: NodeID, _ fd: FileDescriptor) throws(Errno) -> Parked {
        if origins.has(node) { return .name }
        guard let own = source.withLock({ $0?.mountID }) else { throw .notSupported }
        let (handle, mountID) = try Syscall.handle(of: fd)
        return mountID == own
            ? .handle(handle) : .guest(Guest(handle, at: try places.note(mountID, fd)))
    }

    /// - Throws: `ESTALE` if the file no longer exists.
    func open(_ parked: Parked, of node: Identified) throws(Errno) -> FileDescriptor {
        switch parked {
        case .guest(let guest): return try places.open(guest.handle, at: guest.place)
        case .handle(let handle):
            guard let descriptor = source.withLock({ $0?.descriptor }) else { break }
            return try Syscall.open(handle, on: descriptor.fd, flags: Flag.path)
        case .name:
            guard let nodes = nodes.withLock({ $0?.table }) else { break }
            return try origins.open(node, nodes)
        }
        throw .staleNFSFileHandle
    }

    /// Opens what `open` needs, before the lock that `open` is called under is taken.
    func openWay(to node: NodeID) throws(Errno) {
        guard origins.has(node), let nodes = nodes.withLock({ $0?.table }) else { return }
        try origins.openWay(to: node, nodes)
    }

    // MARK: Other mounts

    /// True for a file on another mount than SOURCE's own.
    /// - Parameters:
    ///   - mountID: nil for a file without a handle.
    ///   - isForeign: it has another device number than SOURCE.
    func isGuest(onMount mountID: Int32?, isForeign: Bool) -> Bool {
        guard let mountID, let own = source.withLock({ $0?.mountID }) else { return isForeign }
        return mountID != own
    }

    /// Closes those of the guests `ids` that are idle.
    private func release(_ ids: [NodeID], of nodes: LocalNodes<Node>) {
        let idle = ids.compactMap { nodes.node($0) }.filter { $0.mark() }
        guard !idle.isEmpty else { return }
        requests.wait()
        for node in idle { _ = node.park() }
    }

    // MARK: The count

    func didOpen() { open.wrappingAdd(1, ordering: .relaxed) }
    func didClose() { open.wrappingSubtract(1, ordering: .relaxed) }
    /// Call this before a file is opened for a program: beyond `room` the open is refused, and
    /// files that are already open stay open.
    /// - Parameter isDirectory: directories are usually open for a short time, and may use a little
    ///   more.
    /// - Throws: `ENFILE`.
    func admitFile(isDirectory: Bool = false) throws(Errno) {
        let room = room.load(ordering: .relaxed)
        guard files.load(ordering: .relaxed) < (isDirectory ? room + room / 16 : room) else {
            throw .tooManyOpenFilesInSystem
        }
    }

    /// Runs `body`, which opens a file for a short time; if no descriptor is left, runs it again
    /// with one that was reserved for that.
    func withSpare(_ body: () throws(Errno) -> Void) throws(Errno) {
        do throws(Errno) {
            return try body()
        } catch {
            guard error == .tooManyOpenFiles || error == .tooManyOpenFilesInSystem else {
                throw error
            }
        }
        let result = spare.withLock { spare in
            spare = nil
            defer { spare = Self.makeSpare() }
            return Result { () throws(Errno) in try body() }
        }
        try result.get()
    }

    private static func makeSpare() -> Descriptor? {
        (try? Syscall.open("/dev/null", flags: Flag.path)).map(Descriptor.init)
    }

    func didOpenFile() { files.wrappingAdd(1, ordering: .relaxed) }
    func didCloseFile() { files.wrappingSubtract(1, ordering: .relaxed) }

    /// Call this before a request begins: delays it while far too many nodes are open and a pass is
    /// about to close some. Otherwise the process might run out of descriptors before that.
    @inline(__always)
    func admit(_ nodes: LocalNodes<Node>) {
        if openCount > ceiling { waitForPass(nodes) }
    }

    private func waitForPass(_ nodes: LocalNodes<Node>) {
        trim(nodes)
        // With a limit: a pass ends only after the requests in progress, and one may wait for long.
        for _ in 0..<200 where isPassing.load(ordering: .sequentiallyConsistent) {
            if openCount <= ceiling { return }
            usleep(500)
        }
    }

    /// Starts a pass over `nodes` on a new thread if too many are open.
    @inline(__always)
    func trim(_ nodes: LocalNodes<Node>) {
        if openCount > max(allowed, stuck.load(ordering: .relaxed)) { startPass(nodes) }
    }

    private func startPass(_ nodes: LocalNodes<Node>) {
        guard !isPassing.exchange(true, ordering: .sequentiallyConsistent) else { return }
        do throws(Errno) {
            try Worker("descriptors") { [self] in pass(over: nodes) }.detach()
        } catch {
            isPassing.store(false, ordering: .sequentiallyConsistent)
        }
    }

    private func pass(over nodes: LocalNodes<Node>) {
        // More than needed, because otherwise the next pass would follow at once.
        let victims = nodes.idle(max(openCount - allowed / 4 * 3, 1))
        requests.wait()
        let parked = victims.count { $0.park() }
        // Also prevents it if all are in use or cannot be closed.
        let further = openCount + limit.load(ordering: .relaxed) / 8
        stuck.store(parked == 0 ? further : 0, ordering: .relaxed)
        isPassing.store(false, ordering: .sequentiallyConsistent)
    }
}
