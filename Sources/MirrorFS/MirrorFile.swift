import FuseSession
import Glibc
import StoreFS
import Synchronization
import Syscall
import SystemPackage

package typealias Node = LocalNode<MirrorFile>

/// A file of SOURCE that the kernel knows by a nodeid.
///
/// Holds the file open (`O_PATH`): the inode number cannot be reused, and data and attributes
/// outlive the last name as long as the kernel has the node. A node that is not in use may be
/// parked instead: then it has the file's handle, and opens it when it is used again. Nodes are
/// parked if there are too many, and soon if they are guests, on another mount than SOURCE's own.
/// Before a name is removed, its node is pinned: a handle does not keep a file.
package struct MirrorFile: LocalFile, ~Copyable {
    fileprivate enum State {
        static let open: UInt8 = 0
        /// Open until it is forgotten.
        static let pinned: UInt8 = 1
        /// Still open, to be parked unless it is used.
        static let marked: UInt8 = 2
        static let parked: UInt8 = 3
    }

    // The cost of every known file: in this order there is little padding.

    /// Used since the last call of `mark`.
    fileprivate let isUsed = Atomic(true)
    fileprivate let state: Atomic<UInt8>
    /// On another mount than SOURCE's own.
    fileprivate let isGuest: Bool
    /// It has no handle, see `Origins`.
    let isNamed: Bool
    /// -1 while parked.
    fileprivate let number: Atomic<Int32>
    /// How changes behind the mount are reported.
    let coverage: SourceWatcher.Coverage
    fileprivate let pool: DescriptorPool
    /// Set while parked. Its lock guards the ways in and out of `marked` and `parked`.
    fileprivate let parked = Mutex<DescriptorPool.Parked?>(nil)

    package var isCached: Bool {
        if case .none = coverage { false } else { true }
    }

    package var isTold: Bool {
        if case .whole = coverage { true } else { false }
    }

    /// Takes ownership of `fd`, the file of node `id`.
    init(
        of id: NodeID, owning fd: FileDescriptor, pool: DescriptorPool,
        coverage: SourceWatcher.Coverage, isGuest: Bool = false, isNamed: Bool = false
    ) {
        self.coverage = coverage
        self.isNamed = isNamed
        self.isGuest = isGuest
        self.pool = pool
        number = Atomic(fd.rawValue)
        // A file with its own watch keeps its inode number until it is removed, open or not.
        state = Atomic(id == rootNodeID ? State.pinned : State.open)
        didOpen(id)
    }

    fileprivate func didOpen(_ id: NodeID) {
        pool.didOpen()
        if isGuest { pool.guests.insert(id) }
    }

    fileprivate func didClose(_ id: NodeID) {
        pool.didClose()
        if isGuest { pool.guests.remove(id) }
    }

    package func end(_ id: NodeID) {
        if isNamed { pool.origins.forget(id) }
        let last = number.load(ordering: .relaxed)
        guard last >= 0 else { return }
        Syscall.close(FileDescriptor(rawValue: last))
        didClose(id)
    }
}

extension LocalNode where File == MirrorFile {
    var coverage: SourceWatcher.Coverage { file.coverage }
    var isNamed: Bool { file.isNamed }

    /// Valid until the current request ends. -1 if the file no longer exists, see `use`.
    var fd: FileDescriptor {
        try? use()
        return FileDescriptor(rawValue: file.number.load(ordering: .relaxed))
    }

    /// Ensures that the file is open until the request ends.
    /// - Parameter wayIsOpen: the directories on the path to it are open.
    /// - Throws: `ESTALE` if it was parked and has been removed in SOURCE.
    @inline(__always)
    func use(wayIsOpen: Bool = false) throws(Errno) {
        if !file.isUsed.load(ordering: .relaxed) { file.isUsed.store(true, ordering: .relaxed) }
        // A thread that marks it after this waits for the end of this request.
        if file.state.load(ordering: .sequentiallyConsistent) > MirrorFile.State.pinned {
            if file.isNamed, !wayIsOpen { try file.pool.openWay(to: id) }
            try open(as: MirrorFile.State.open)
        }
    }

    var isOpen: Bool { file.number.load(ordering: .relaxed) >= 0 }

    /// Keeps the file open from now on. Does nothing if it no longer exists.
    /// - Throws: what opening it throws, if it was file.parked.
    func pin() throws(Errno) {
        do throws(Errno) {
            if file.isNamed { try file.pool.openWay(to: id) }
            try open(as: MirrorFile.State.pinned)
        } catch {
            guard error == .staleNFSFileHandle else { throw error }
        }
    }

    private func open(as next: UInt8) throws(Errno) {
        let error = file.parked.withLock { parked -> Errno? in
            if let found = parked {
                do throws(Errno) {
                    file.number.store(
                        try file.pool.open(found, of: self).rawValue, ordering: .relaxed)
                } catch {
                    return error
                }
                parked = nil
                file.didOpen(id)
            }
            if file.state.load(ordering: .relaxed) != MirrorFile.State.pinned {
                file.state.store(next, ordering: .sequentiallyConsistent)
            }
            return nil
        }
        if let error { throw error }
    }

    /// Marks an open node that was not used since the last call.
    /// - Returns: true if `park` must follow, when all requests in progress have ended.
    func mark() -> Bool {
        if file.isUsed.exchange(false, ordering: .relaxed) { return false }
        return file.state.compareExchange(
            expected: MirrorFile.State.open, desired: MirrorFile.State.marked,
            ordering: .sequentiallyConsistent
        ).exchanged
    }

    /// Closes the file, if the node is still marked and the file can be reopened.
    /// - Returns: true if it is closed.
    func park() -> Bool {
        file.parked.withLock { parked in
            guard file.state.load(ordering: .sequentiallyConsistent) == MirrorFile.State.marked
            else {
                return false
            }
            let fd = FileDescriptor(rawValue: file.number.load(ordering: .relaxed))
            guard let found = try? file.pool.parked(id, fd) else {
                file.state.store(MirrorFile.State.pinned, ordering: .sequentiallyConsistent)
                return false
            }
            parked = found
            file.state.store(MirrorFile.State.parked, ordering: .sequentiallyConsistent)
            file.number.store(-1, ordering: .relaxed)
            Syscall.close(fd)
            file.didClose(id)
            return true
        }
    }
}
