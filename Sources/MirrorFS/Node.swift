import FuseSession
import Glibc
import KernelCache
import Synchronization
import Syscall
import SystemPackage

/// What makes a file in SOURCE itself, whatever its names. Unique only while the file is held open.
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

    /// No file's.
    static let none = Identity(device: 0, inode: 0)

    /// The key of the file's lock in `Coherence`; different files may share one.
    var lockKey: UInt64 { inode ^ (device &* 0x9E37_79B9_7F4A_7C15) }
}

/// What a node is found by.
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
/// outlive the last name, for as long as the kernel has the node. A node that is not in use may be
/// parked instead: it has the file's handle then, and opens it when it is used again. That happens if
/// there are too many nodes, and soon to a guest, which is on another mount than SOURCE's own. A node
/// whose name is to go is pinned before: a handle does not keep a file.
final class Node: Identified, @unchecked Sendable {
    // Safe to share: `versions` is guarded by the node's lock, the rest constant, atomic or locked.
    private enum State {
        static let open: UInt8 = 0
        /// Open until it is forgotten.
        static let pinned: UInt8 = 1
        /// Open still, to be parked unless it is used.
        static let marked: UInt8 = 2
        static let parked: UInt8 = 3
    }

    // What every known file costs: in this order there are few gaps.

    /// Lookups granted and not forgotten, as far as the daemon has counted them: those that the
    /// kernel cache granted come in by `NodeTable.credit`.
    let lookups = Atomic<Int64>(0)
    private let pool: DescriptorPool
    /// How changes behind the mount are told.
    let coverage: SourceWatcher.Coverage
    /// False once the node has left the table: a request that was interrupted may still be at work
    /// on it, but must not publish it. Read and written under the node's lock.
    let isKnown = Atomic(true)
    private let state: Atomic<UInt8>
    /// Changed behind the mount while somebody else had its lock: void when it is published next.
    let isVoid = Atomic(false)
    /// Used since `mark` looked the last time.
    private let isUsed = Atomic(true)
    /// What of its cached state is still true. Read and written under the node's lock only.
    var versions = Versions()
    /// -1 while parked.
    private let number: Atomic<Int32>
    /// Set while parked. Its lock guards the ways in and out of `marked` and `parked`.
    private let parked = Mutex<DescriptorPool.Parked?>(nil)
    /// On another mount than SOURCE's own.
    private let isGuest: Bool
    /// It has no handle, see `Origins`.
    let isNamed: Bool

    /// False for a file whose changes behind the mount nobody can tell.
    var isCached: Bool {
        if case .none = coverage { false } else { true }
    }

    /// True if its changes behind the mount are told, or there are none: the kernel may keep what it
    /// is answered.
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
        // A file with a watch of its own keeps its inode number until it is removed, open or not.
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

    /// Valid until the request ends that asks. -1 if the file is gone, see `use`.
    var fd: FileDescriptor {
        try? use()
        return FileDescriptor(rawValue: number.load(ordering: .relaxed))
    }

    /// Sees to it that the file is open until the request ends.
    /// - Parameter wayIsOpen: the directories on the way to it are open.
    /// - Throws: `ESTALE` if it was parked and has been removed in SOURCE.
    @inline(__always)
    func use(wayIsOpen: Bool = false) throws(Errno) {
        if !isUsed.load(ordering: .relaxed) { isUsed.store(true, ordering: .relaxed) }
        // Whoever marks it after this waits for the end of this request.
        if state.load(ordering: .sequentiallyConsistent) > State.pinned {
            if isNamed, !wayIsOpen { try pool.openWay(to: id) }
            try open(as: State.open)
        }
    }

    var isOpen: Bool { number.load(ordering: .relaxed) >= 0 }

    /// Keeps the file open from now on. If it is gone already nothing is kept.
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

    /// Marks an open node that was not used since this was asked the last time.
    /// - Returns: true if `park` is to follow, when all requests under way have ended.
    func mark() -> Bool {
        if isUsed.exchange(false, ordering: .relaxed) { return false }
        return state.compareExchange(
            expected: State.open, desired: State.marked, ordering: .sequentiallyConsistent
        ).exchanged
    }

    /// Closes the file, if the node is still marked and the file can be had again.
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
