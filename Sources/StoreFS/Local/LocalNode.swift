import FuseSession
import Glibc
import KernelCache
import Synchronization

/// Identifies a file in the source, whatever its names. Unique only while the file exists.
package struct Identity: Hashable, Sendable {
    package let device: UInt64
    package let inode: UInt64

    package init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    package init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }

    /// The identity of no file.
    static let none = Identity(device: 0, inode: 0)

    /// The key of the file's lock in `Coherence`; different files may share one.
    package var lockKey: UInt64 { inode ^ (device &* 0x9E37_79B9_7F4A_7C15) }
}

/// The key by which a node is looked up.
package class Identified: @unchecked Sendable {
    // Safe to share: constant.
    package final let id: NodeID
    package final let identity: Identity

    init(id: NodeID, identity: Identity) {
        self.id = id
        self.identity = identity
    }
}

/// A file of the source that the kernel knows by a nodeid, without what the file system keeps with it.
package class AnyLocalNode: Identified, @unchecked Sendable {
    // Safe to share: `versions` is guarded by the node's lock, the rest constant or atomic.

    /// Lookups granted and not forgotten, as far as the daemon has counted them: those that the
    /// kernel cache granted are added by `LocalNodes.credit`.
    package final let lookups = Atomic<Int64>(0)
    /// The versions of its cached state. Accessed only under the node's lock.
    package final var versions = Versions()
    /// False once the node has left the table: an interrupted request may still use it, but must
    /// not publish it. Read and written under the node's lock.
    package final let isKnown = Atomic(true)
    /// Changed behind the mount while another thread had its lock: void when it is published next.
    package final let isVoid = Atomic(false)

    /// False for a file whose changes behind the mount are not reported: nothing of it is kept.
    package var isCached: Bool { true }

    /// True if its changes behind the mount are reported, or there are none: the kernel may keep
    /// replies.
    package var isTold: Bool { true }

    package final var lockKey: UInt64 { identity.lockKey }

    /// Adds to `lookups` and returns the sum.
    @discardableResult
    package final func add(lookups count: Int64) -> Int64 {
        lookups.wrappingAdd(count, ordering: .sequentiallyConsistent).newValue
    }
}

/// A file of the source that the kernel knows by a nodeid.
package final class LocalNode<File: LocalFile & ~Copyable>: AnyLocalNode, @unchecked Sendable {
    // Safe to share: constant.
    package let file: File

    package init(id: NodeID, identity: Identity, _ file: consuming File) {
        self.file = file
        super.init(id: id, identity: identity)
    }

    deinit { file.end(id) }

    package override var isCached: Bool { file.isCached }
    package override var isTold: Bool { file.isTold }
}

/// What a file system keeps with a node. It is stored in the node: memory for every known file.
package protocol LocalFile: ~Copyable, Sendable {
    /// See `AnyLocalNode`.
    var isCached: Bool { get }
    var isTold: Bool { get }
    /// The last request that uses the node `id` has ended, and the kernel does not know it any more.
    func end(_ id: NodeID)
}
