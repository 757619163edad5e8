import CShortfuseABI
import Glibc
import Synchronization
import Syscall

/// Notifies the kernel to drop what it has of a node.
public protocol CacheNotices: Sendable {
    /// Drops the attributes and access control lists of `nodeid`, and every reply about them that
    /// has not arrived yet. Called under the node's lock, so it must not wait.
    /// - Returns: false if the kernel does not know the node, or not yet.
    func dropAttributes(of nodeid: UInt64) -> Bool
    /// The same, soon and repeated until it succeeds: for a node that the kernel is about to know.
    func dropAttributesLater(of nodeid: UInt64)
}

extension CacheNotices {
    /// Drops them now, or as soon as the kernel knows the node.
    func endAttributes(of nodeid: UInt64) {
        if !dropAttributes(of: nodeid) { dropAttributesLater(of: nodeid) }
    }
}

/// The kernel's own caches of names, attributes, pages and listings, which are used before the maps
/// and the daemon: how long the kernel may keep replies. `CacheNotices` notify it when this ends.
/// `Coherence` is the only user.
///
/// One notification is sent *before* each change of what the kernel may have. docs/coherence.md
/// explains why that is exact.
public final class NativeCaches: Sendable {
    public struct Options: Sendable {
        /// Seconds for which the kernel may keep a name, or that it does not exist.
        public var entrySeconds: Double
        /// Seconds for which it may keep attributes.
        public var attributeSeconds: Double
        /// False if the page cache and listings may be used only while the kernel has valid
        /// attributes, which end with their time-out.
        public var keepsPages: Bool
        /// Ticks (2^20 ns) from the first answer after a change until the kernel may keep one. The
        /// first may be applied late, and the kernel marks attributes as valid before it has
        /// written them (fuse_change_attributes_common of fs/fuse/inode.c): an answer that is kept
        /// must write the values that are already there. Longer: covers slower tasks, and costs
        /// more requests after a change.
        public var settleTicks: UInt32

        public init(seconds: Double, keepsPages: Bool, settleTicks: UInt32 = 512) {
            entrySeconds = seconds
            attributeSeconds = seconds
            self.keepsPages = keepsPages
            self.settleTicks = settleTicks
        }
    }

    public let options: Options
    private let numbers = Atomic<UInt64>(0)

    public init(options: Options) { self.options = options }

    private let epochs = Atomic<UInt64>(0)
    /// As `KernelCache.epoch`.
    var epoch: UInt64 { epochs.load(ordering: .sequentiallyConsistent) }
    /// Prevents the kernel from keeping what is being read from the source.
    func voidReaders() { epochs.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// A version never used before.
    func freshNumber() -> UInt64 { numbers.wrappingAdd(1, ordering: .relaxed).newValue }

    /// The time in ticks of 2^20 ns, as the programs use it; never 0. It wraps around after 52
    /// days, which costs one more request than needed.
    static var now: UInt32 {
        max(UInt32(truncatingIfNeeded: Syscall.monotonicNanoseconds() >> 20), 1)
    }
}
