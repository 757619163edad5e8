import FuseSession
import Glibc
import KernelCache
import Synchronization
import Syscall
import SystemPackage

/// Identifies a file in SOURCE, whatever its names. Unique only while the file is held open.
struct Identity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }

    /// The identity of no file.
    static let none = Identity(device: 0, inode: 0)

    /// The key of the file's lock in `Coherence`; different files may share one.
    var lockKey: UInt64 { inode ^ (device &* 0x9E37_79B9_7F4A_7C15) }
}

/// The key by which a node is looked up.
class Identified: @unchecked Sendable {
    // Safe to share: constant.
    let id: NodeID
    let identity: Identity

    init(id: NodeID, identity: Identity) {
        self.id = id
        self.identity = identity
    }
}

/// A file of SOURCE that the kernel knows by a nodeid.
///
/// Holds the file open (`O_PATH`): the inode number cannot be reused, and data and attributes
/// outlive the last name as long as the kernel has the node. A node that is not in use may be
/// parked instead: then it has the file's handle, and opens it when it is used again. Nodes are
/// parked if there are too many, and soon if they are guests, on another mount than SOURCE's own.
/// Before a name is removed, its node is pinned: a handle does not keep a file.
final class Node: Identified, @unchecked Sendable {
    // Safe to share: `versions` is guarded by the node's lock, the rest constant, atomic or locked.
    private enum State {
        static let open: UInt8 = 0
        /// Open until it is forgotten.
        static let pinned: UInt8 = 1
        /// Still open, to be parked unless it is used.
        static let marked: UInt8 = 2
        static let parked: UInt8 = 3
    }

    // The cost of every known file: in this order there is little padding.

    /// Lookups granted and not forgotten, as far as the daemon has counted them: those that the
    /// kernel cache granted are added by `NodeTable.credit`.
    let lookups = Atomic<Int64>(0)
    private let pool: DescriptorPool
    /// How changes behind the mount are reported.
    let coverage: SourceWatcher.Coverage
    /// False once the node has left the table: an interrupted request may still use it, but must
    /// not publish it. Read and written under the node's lock.
    let isKnown = Atomic(true)
    private let state: Atomic<UInt8>
    /// Changed behind the mount while another thread had its lock: void when it is published next.
    let isVoid = Atomic(false)
    /// Used since the last call of `mark`.
    private let isUsed = Atomic(true)
    /// The versions of its cached state. Accessed only under the node's lock.
    var versions = Versions()
    /// -1 while parked.
    private let number: Atomic<Int32>
    /// Set while parked. Its lock guards the ways in and out of `marked` and `parked`.
    private let parked = Mutex<DescriptorPool.Parked?>(nil)
    /// On another mount than SOURCE's own.
    private let isGuest: Bool
    /// It has no handle, see `Origins`.
    let isNamed: Bool

    /// False for a file whose changes behind the mount are not reported.
    var isCached: Bool {
        if case .none = coverage { false } else { true }
    }

    /// True if its changes behind the mount are reported, or there are none: the kernel may keep
    /// replies.
    var isTold: Bool {
        if case .whole = coverage { true } else { false }
    }

    /// Takes ownership of `fd`.
    init(
        id: NodeID, identity: Identity, owning fd: FileDescriptor, pool: DescriptorPool,
        coverage: SourceWatcher.Coverage, isGuest: Bool = false,
        isNamed: Bool = false
    ) {
        self.coverage = coverage
        self.isNamed = isNamed
        self.isGuest = isGuest
        self.pool = pool
        number = Atomic(fd.rawValue)
        // A file with its own watch keeps its inode number until it is removed, open or not.
        state = Atomic(id == rootNodeID ? State.pinned : State.open)
        super.init(id: id, identity: identity)
        didOpen()
    }

    private func didOpen() {
        pool.didOpen()
        if isGuest { pool.guests.insert(id) }
    }

    private func didClose() {
        pool.didClose()
        if isGuest { pool.guests.remove(id) }
    }

    deinit {
        if isNamed { pool.origins.forget(id) }
        let last = number.load(ordering: .relaxed)
        guard last >= 0 else { return }
        Syscall.close(FileDescriptor(rawValue: last))
        didClose()
    }

    /// Valid until the current request ends. -1 if the file no longer exists, see `use`.
    var fd: FileDescriptor {
        try? use()
        return FileDescriptor(rawValue: number.load(ordering: .relaxed))
    }

    /// Ensures that the file is open until the request ends.
    /// - Parameter wayIsOpen: the directories on the path to it are open.
    /// - Throws: `ESTALE` if it was parked and has been removed in SOURCE.
    @inline(__always)
    func use(wayIsOpen: Bool = false) throws(Errno) {
        if !isUsed.load(ordering: .relaxed) { isUsed.store(true, ordering: .relaxed) }
        // A thread that marks it after this waits for the end of this request.
        if state.load(ordering: .sequentiallyConsistent) > State.pinned {
            if isNamed, !wayIsOpen { try pool.openWay(to: id) }
            try open(as: State.open)
        }
    }

    var isOpen: Bool { number.load(ordering: .relaxed) >= 0 }

    /// Keeps the file open from now on. Does nothing if it no longer exists.
    /// - Throws: what opening it throws, if it was parked.
    func pin() throws(Errno) {
        do throws(Errno) {
            if isNamed { try pool.openWay(to: id) }
            try open(as: State.pinned)
        } catch {
            guard error == .staleNFSFileHandle else { throw error }
        }
    }

    private func open(as next: UInt8) throws(Errno) {
        let error = parked.withLock { parked -> Errno? in
            if let found = parked {
                do throws(Errno) {
                    number.store(try pool.open(found, of: self).rawValue, ordering: .relaxed)
                } catch {
                    return error
                }
                parked = nil
                didOpen()
            }
            if state.load(ordering: .relaxed) != State.pinned {
                state.store(next, ordering: .sequentiallyConsistent)
            }
            return nil
        }
        if let error { throw error }
    }

    /// Marks an open node that was not used since the last call.
    /// - Returns: true if `park` must follow, when all requests in progress have ended.
    func mark() -> Bool {
        if isUsed.exchange(false, ordering: .relaxed) { return false }
        return state.compareExchange(
            expected: State.open, desired: State.marked, ordering: .sequentiallyConsistent
        ).exchanged
    }

    /// Closes the file, if the node is still marked and the file can be reopened.
    /// - Returns: true if it is closed.
    func park() -> Bool {
        parked.withLock { parked in
            guard state.load(ordering: .sequentiallyConsistent) == State.marked else {
                return false
            }
            let fd = FileDescriptor(rawValue: number.load(ordering: .relaxed))
            guard let found = try? pool.parked(id, fd) else {
                state.store(State.pinned, ordering: .sequentiallyConsistent)
                return false
            }
            parked = found
            state.store(State.parked, ordering: .sequentiallyConsistent)
            number.store(-1, ordering: .relaxed)
            Syscall.close(fd)
            didClose()
            return true
        }
    }

    var lockKey: UInt64 { identity.lockKey }

    /// Adds to `lookups` and returns the sum.
    @discardableResult
    func add(lookups count: Int64) -> Int64 {
        lookups.wrappingAdd(count, ordering: .sequentiallyConsistent).newValue
    }
}
