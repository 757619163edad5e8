import CShortfuseABI
import Glibc
import SystemPackage

#if FAULTS
    typealias Sink = FaultyCache
#else
    typealias Sink = KernelCache
#endif

/// The one place that orders "change the source, then the maps, then reply".
///
/// Two kinds of lock, always taken in this order:
///
/// 1. **names** of a directory, by its nodeid: held while a name is looked up and published, and
///    while it is created, removed or renamed.
/// 2. **node**, by the identity of the file in the source, so that it also covers files without a
///    nodeid: held while attributes are read and published, and while anything changes them.
///
/// A lock yields a hold, and only a hold can publish or revoke: nothing reaches the maps outside
/// its lock. A mutation revokes *before* it changes the source. Until it lets go of the lock nobody
/// can publish, so the maps answer nothing about what it changes: neither the old state after
/// somebody has seen the new one, nor half of it.
public final class Coherence: Sendable {
    private let cache: Sink?
    private let nameLocks = StripeLocks(bits: 10)
    private let nodeLocks = StripeLocks(bits: 10)

    /// - Parameter cache: nil where nothing is accelerated; publish and revoke are then no-ops.
    public init(cache: KernelCache?) {
        #if FAULTS
            self.cache = cache.map(FaultyCache.init)
        #else
            self.cache = cache
        #endif
    }

    /// True where publishing has an effect: lets a caller skip reading what only the maps want.
    public var isAccelerated: Bool { cache != nil }

    /// Bytes up to which a file's data is worth publishing; -1: no file's.
    public var fileMax: Int { cache?.fileMax ?? -1 }

    /// Draws something cached, to be compared with the source: see `KernelCache.sample`.
    public func sample(seed: UInt64, after name: inout [UInt8]) -> CacheSample? {
        cache?.sample(seed: seed, after: &name)
    }

    /// Makes all void that is in the maps, at once, and all that is being read for them. For changes
    /// in the source of which nobody can tell what they concern.
    public func dropEverything() { cache?.dropEverything() }

    /// Runs `body` with the names of directory `parent` locked.
    public func withNames<R: ~Copyable>(
        of parent: UInt64, _ body: (borrowing NameHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nameLocks.withLock(parent) { () throws(Errno) -> R in
            try body(NameHold(cache))
        }
    }

    /// Runs `body` with the names of both directories locked: for rename and link.
    public func withNames<R: ~Copyable>(
        of parents: [UInt64], _ body: (borrowing NameHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nameLocks.withLocks(parents) { () throws(Errno) -> R in
            try body(NameHold(cache))
        }
    }

    /// Runs `body` with the node of identity `key` locked.
    public func withNode<R: ~Copyable>(
        _ key: UInt64, _ body: (borrowing NodeHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nodeLocks.withLock(key) { () throws(Errno) -> R in
            try body(NodeHold(cache))
        }
    }

    /// Runs `body` with all these nodes locked.
    public func withNodes<R: ~Copyable>(
        _ keys: [UInt64], _ body: (borrowing NodeHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nodeLocks.withLocks(keys) { () throws(Errno) -> R in
            try body(NodeHold(cache))
        }
    }
}

/// File handles that the kernel gives out by itself: nothing is open for them in the daemon.
public enum ReservedHandle {
    public static func contains(_ handle: UInt64) -> Bool { handle & sf_fh_reserved != 0 }
}

/// The right to publish and revoke names, while their directory is locked.
public struct NameHold: ~Copyable {
    private let cache: Sink?
    /// As it was before anything was read under this hold.
    private let epoch: UInt64

    init(_ cache: Sink?) {
        self.cache = cache
        epoch = cache?.epoch ?? 0
    }

    /// Lets the kernel answer LOOKUP of `name` (NUL-terminated bytes) in `parent` with `nodeid`.
    public func publish(parent: UInt64, name: UnsafePointer<CChar>, nodeid: UInt64) {
        cache?.publishName(parent: parent, name: name, nodeid: nodeid, in: epoch)
    }

    /// Lets the kernel answer LOOKUP of `name` in `parent` with ENOENT.
    public func publishAbsence(parent: UInt64, name: UnsafePointer<CChar>) {
        cache?.publishName(parent: parent, name: name, nodeid: 0, in: epoch)
    }

    /// As `KernelCache.compare`.
    public func compare(
        parent: UInt64, name: UnsafePointer<CChar>, nodeid: UInt64?
    ) -> Comparison? {
        cache?.compare(parent: parent, name: name, nodeid: nodeid)
    }

    /// Takes `name` in `parent` out of the maps, or that it is absent. Call before the source
    /// changes.
    public func revoke(parent: UInt64, name: UnsafePointer<CChar>) {
        cache?.revokeName(parent: parent, name: name)
    }
}
