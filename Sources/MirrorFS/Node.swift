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

    /// The key of the file's lock in `Coherence`; different files may share one.
    var lockKey: UInt64 { inode ^ (device &* 0x9E37_79B9_7F4A_7C15) }
}

/// A file of SOURCE that the kernel knows by a nodeid.
///
/// Holds the file open (`O_PATH`): the inode number cannot be reused, and data and attributes
/// outlive the last name, for as long as the kernel has the node.
final class Node: @unchecked Sendable {
    // Safe to share: `versions` is guarded by the node's lock, the rest constant or atomic.
    let id: NodeID
    let identity: Identity
    let fd: FileDescriptor
    /// Lookups granted and not forgotten, as far as the daemon has counted them: those that the
    /// kernel cache granted come in by `NodeTable.credit`.
    let lookups = Atomic<Int64>(0)
    /// False once the node has left the table: a request that was interrupted may still be at work
    /// on it, but must not publish it. Read and written under the node's lock.
    let isKnown = Atomic(true)

    /// What of its cached state is still true. Read and written under the node's lock only.
    var versions = Versions()

    /// Takes ownership of `fd`.
    init(id: NodeID, identity: Identity, owning fd: FileDescriptor) {
        self.id = id
        self.identity = identity
        self.fd = fd
    }

    deinit {
        Syscall.close(fd)
    }

    var lockKey: UInt64 { identity.lockKey }

    /// Adds to `lookups` and returns the sum.
    @discardableResult
    func add(lookups count: Int64) -> Int64 {
        lookups.wrappingAdd(count, ordering: .sequentiallyConsistent).newValue
    }
}
