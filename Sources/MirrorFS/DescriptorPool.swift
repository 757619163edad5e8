import FuseSession
import Glibc
import Synchronization
import Syscall
import SystemPackage

/// The descriptors of all nodes: closes some that were not used lately when there are too many, or too
/// many beside the files that programs have open. A node gets its file back by handle.
///
/// A request that has asked a node for its descriptor may use it to the end. So nodes are marked
/// first, and closed when all requests that were under way by then have ended, unless another one
/// asked for them meanwhile.
final class DescriptorPool: Sendable {
    private struct Source {
        /// To open handles on; not `O_PATH`.
        let descriptor: Descriptor
        let mountID: Int32
    }

    let requests = GracePeriod()
    private let source = Mutex<Source?>(nil)
    private let open = Atomic(0)
    /// Open for programs: only they can close those.
    private let files = Atomic(0)
    private static let unlimited = Int(Int32.max)
    /// Of nodes.
    private let limit = Atomic(unlimited)
    /// Of nodes and files together.
    private let room = Atomic(unlimited)
    /// With fewer nodes than this there is no pass: the last one could not close any.
    private let stuck = Atomic(0)
    private let isPassing = Atomic(false)
    /// By the hash of the handle, which the node has: with the handle itself 40 bytes instead of 16.
    private let parkedNodes = Mutex<[Int: NodeID]>([:])

    /// Nodes that are open now.
    var openCount: Int { open.load(ordering: .relaxed) }

    /// More than so many open nodes start a pass.
    private var allowed: Int {
        let limit = limit.load(ordering: .relaxed)
        return max(
            min(limit, room.load(ordering: .relaxed) - files.load(ordering: .relaxed)), limit / 8)
    }

    /// With more than so many open nodes no request begins during a pass.
    private var ceiling: Int {
        let allowed = allowed
        return allowed + allowed / 4
    }

    /// Begins to limit the number of open nodes to about `limit`, and that of nodes and files to
    /// about `room`, if files below `root` can be had by handle. Once, before the first node is
    /// inserted.
    func start(root: FileDescriptor, limit: Int, room: Int) {
        do throws(Errno) {
            let fd = try DescriptorPath(root).withPointer { (path) throws(Errno) in
                try Syscall.open(path, flags: O_RDONLY | O_DIRECTORY)
            }
            let descriptor = Descriptor(owning: fd)
            let (handle, mountID) = try Syscall.handle(of: fd)
            // Where this is not permitted, handles are of no use.
            Syscall.close(try Syscall.open(handle, on: fd, flags: Flag.path))
            source.withLock {
                $0 = Source(descriptor: descriptor, mountID: mountID)
            }
            self.limit.store(min(limit, Self.unlimited), ordering: .relaxed)
            self.room.store(min(room, Self.unlimited), ordering: .relaxed)
        } catch {
            // Then all nodes stay open.
        }
    }

    /// The handle of a file that may be closed and had again.
    /// - Throws: `EOPNOTSUPP` if not: without handles, or on another mount than SOURCE's own.
    func handle(of fd: FileDescriptor) throws(Errno) -> InodeHandle {
        let (handle, mountID) = try Syscall.handle(of: fd)
        guard mountID == source.withLock({ $0?.mountID }) else { throw .notSupported }
        return handle
    }

    /// - Throws: `ESTALE` if the file is gone.
    func open(_ handle: InodeHandle) throws(Errno) -> FileDescriptor {
        guard let descriptor = source.withLock({ $0?.descriptor }) else {
            throw .staleNFSFileHandle
        }
        return try Syscall.open(handle, on: descriptor.fd, flags: Flag.path)
    }

    // MARK: Nodes by handle

    /// The node that is parked by `handle`, also if its file is gone; rarely, another parked node
    /// when there is none.
    func parked(_ handle: InodeHandle) -> NodeID? {
        parkedNodes.withLock { $0[handle.hashValue] }
    }
    /// - Returns: false if another node has a handle of the same hash: this one cannot be parked then.
    func remember(_ handle: InodeHandle, _ node: NodeID) -> Bool {
        parkedNodes.withLock { parked in
            guard parked[handle.hashValue] == nil else { return false }
            parked[handle.hashValue] = node
            return true
        }
    }
    func forget(_ handle: InodeHandle) { parkedNodes.withLock { $0[handle.hashValue] = nil } }

    func didOpen() { open.wrappingAdd(1, ordering: .relaxed) }
    func didClose() { open.wrappingSubtract(1, ordering: .relaxed) }
    func didOpenFile() { files.wrappingAdd(1, ordering: .relaxed) }
    func didCloseFile() { files.wrappingSubtract(1, ordering: .relaxed) }

    /// To be called before a request begins: holds it up while there are far too many open and a
    /// pass is about to close some, or the process would run out of descriptors before it does.
    @inline(__always)
    func admit(_ nodes: NodeTable) {
        if openCount > ceiling { waitForPass(nodes) }
    }

    private func waitForPass(_ nodes: NodeTable) {
        trim(nodes)
        // Not for ever: a pass ends only after the requests under way, and one may wait for long.
        for _ in 0..<200 where isPassing.load(ordering: .sequentiallyConsistent) {
            if openCount <= ceiling { return }
            usleep(500)
        }
    }

    /// Starts a pass over `nodes` if there are too many open. It runs on a thread of its own.
    @inline(__always)
    func trim(_ nodes: NodeTable) {
        if openCount > max(allowed, stuck.load(ordering: .relaxed)) { startPass(nodes) }
    }

    private func startPass(_ nodes: NodeTable) {
        guard !isPassing.exchange(true, ordering: .sequentiallyConsistent) else { return }
        do throws(Errno) {
            try Worker("descriptors") { [self] in pass(over: nodes) }.detach()
        } catch {
            isPassing.store(false, ordering: .sequentiallyConsistent)
        }
    }

    private func pass(over nodes: NodeTable) {
        // Some more than needed, or the next pass would follow at once.
        let victims = nodes.idle(max(openCount - allowed / 4 * 3, 1))
        requests.wait()
        let parked = victims.count { $0.park() }
        // Nor if all are in use or cannot be closed.
        let further = openCount + limit.load(ordering: .relaxed) / 8
        stuck.store(parked == 0 ? further : 0, ordering: .relaxed)
        isPassing.store(false, ordering: .sequentiallyConsistent)
    }
}
