import CShortfuseABI
import Glibc
import Synchronization
import Syscall

/// Tells the kernel to drop what it has of a node.
public protocol CacheNotices: Sendable {
    /// Drops the attributes and access control lists of `nodeid`, and every reply about them that is
    /// on its way. Called under the node's lock, so it must wait for nobody.
    /// - Returns: false if the kernel does not know the node, or not yet.
    func dropAttributes(of nodeid: UInt64) -> Bool
    /// The same, soon and until it has succeeded: for a node that the kernel is about to know.
    func dropAttributesLater(of nodeid: UInt64)
}

extension CacheNotices {
    /// Drops them now, or as soon as the kernel knows the node.
    func endAttributes(of nodeid: UInt64) {
        if !dropAttributes(of: nodeid) { dropAttributesLater(of: nodeid) }
    }
}

/// The kernel's own caches of names, attributes, pages and listings, which answer before the maps and
/// the daemon are asked: for how long it may keep what it is told. `CacheNotices` tell it that this is
/// over. `Coherence` is their only user.
///
/// One notification goes out *before* each change of what the kernel may have. docs/coherence.md says
/// why that is exact.
public final class NativeCaches: Sendable {
    public struct Options: Sendable {
        /// Seconds for which the kernel may keep a name, or that there is none.
        public var entrySeconds: Double
        /// Seconds for which it may keep attributes.
        public var attributeSeconds: Double
        /// False if what is in the page cache and in listings may only be used while the kernel has
        /// asked for the attributes: a time-out alone ends those.
        public var keepsPages: Bool
        /// Ticks (2^20 ns) from the first answer after a change until the kernel may keep one. The first
        /// may be applied late, and the kernel marks attributes as valid before it has written them
        /// (fuse_change_attributes_common of fs/fuse/inode.c): an answer to be kept must write what is
        /// there already. Longer: slower tasks are waited for, and the kernel asks more often after a
        /// change.
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
    /// Who reads the source at the moment permits the kernel to keep nothing of it.
    func voidReaders() { epochs.wrappingAdd(1, ordering: .sequentiallyConsistent) }

    /// A version never used before.
    func freshNumber() -> UInt64 { numbers.wrappingAdd(1, ordering: .relaxed).newValue }

    /// The time in ticks of 2^20 ns, as the programs have it; never 0. It starts again after 52 days,
    /// which makes the kernel ask once more than needed.
    static var now: UInt32 {
        max(UInt32(truncatingIfNeeded: Syscall.monotonicNanoseconds() >> 20), 1)
    }
}
