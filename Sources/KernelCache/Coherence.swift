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
    private let native: NativeCaches?
    private let notices: (any CacheNotices)?
    private let nameLocks: StripeLocks
    private let nodeLocks: StripeLocks

    /// - Parameters:
    ///   - cache: nil where nothing is accelerated: nothing is published then.
    ///   - native: nil where the kernel may keep nothing in its own caches.
    ///   - notices: nil where there is no kernel to tell: without a mount.
    ///   - isAbandoned: whether nobody waits any more for the request that the calling thread serves.
    ///     Then whoever waits for a lock to change something gives up.
    public init(
        cache: KernelCache?, native: NativeCaches? = nil, notices: (any CacheNotices)? = nil,
        isAbandoned: @escaping @Sendable () -> Bool = { false }
    ) {
        self.native = native
        self.notices = notices
        nameLocks = StripeLocks(bits: 10, isAbandoned: isAbandoned)
        nodeLocks = StripeLocks(bits: 10, isAbandoned: isAbandoned)
        #if FAULTS
            self.cache = cache.map(FaultyCache.init)
        #else
            self.cache = cache
        #endif
    }

    /// True where publishing has an effect: lets a caller skip reading what only the maps want.
    public var isAccelerated: Bool { cache != nil }

    /// True where anything at all is cached, in the maps or in the kernel's own caches: then whatever
    /// is answered must have been read under its lock.
    public var isCaching: Bool { cache != nil || native != nil }

    /// True where attributes must be answered under the node's lock: where anything is cached, and where
    /// a kernel counts links by itself, see `NodeHold.beginRemoval`.
    public var locksAttributes: Bool { isCaching || notices != nil }

    /// True where the kernel may keep names and attributes.
    public var usesNativeCaches: Bool { native != nil }

    /// True where the kernel's pages and listings stay until it is told.
    public var keepsPages: Bool { cache != nil || native?.options.keepsPages ?? false }

    /// Bytes up to which a file's data is worth publishing; -1: no file's.
    public var fileMax: Int { cache?.fileMax ?? -1 }

    /// Draws something cached, to be compared with the source: see `KernelCache.sample`.
    public func sample(seed: UInt64, after name: inout [UInt8]) -> CacheSample? {
        cache?.sample(seed: seed, after: &name)
    }

    /// Makes all void that is in the maps, at once, and all that is being read for them. For changes
    /// in the source of which nobody can tell what they concern.
    public func dropEverything() { cache?.dropEverything() }

    /// Makes void what is cached of a node whose lock somebody has for long, and who reads the source at
    /// the moment keeps nothing of it: something changed behind the mount.
    /// - Parameter find: the node, if there is one by now.
    public func voidUnlocked(_ find: () -> UInt64?) {
        // Whoever has published by now has made the node before.
        voidReaders()
        guard let nodeid = find() else { return }
        _ = cache?.revokeAttributes(nodeid: nodeid)
        if native != nil { notices?.endAttributes(of: nodeid) }
    }

    /// Who reads the source at the moment keeps nothing of it.
    public func voidReaders() {
        cache?.voidReaders()
        native?.voidReaders()
    }

    /// Runs `body`, which only reads, with the names of directory `parent` locked; if somebody has been
    /// changing them for long (the source may be frozen, or a network), without.
    ///
    /// What `body` answers then is as good: it is the state before the change or after it, of which
    /// neither is over. But nothing may keep it, and a hold without a lock sees to that: it publishes
    /// nothing, and permits no time-out.
    public func reading<R: ~Copyable>(
        namesOf parent: UInt64, _ body: (borrowing NameHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nameLocks.withLockUnlessHeld(parent) { (isLocked) throws(Errno) -> R in
            try body(NameHold(cache, native, isLocked: isLocked))
        }
    }

    /// The same with the node of identity `key`.
    public func reading<R: ~Copyable>(
        node key: UInt64, _ body: (borrowing NodeHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nodeLocks.withLockUnlessHeld(key) { (isLocked) throws(Errno) -> R in
            try body(
                isLocked
                    ? NodeHold(cache, native, notices)
                    : NodeHold(nil, native, notices, isLocked: false))
        }
    }

    /// Runs `body` with the names of directory `parent` locked.
    /// - Throws: `EINTR` if nobody waits any more for what it would do, as all below.
    public func withNames<R: ~Copyable>(
        of parent: UInt64, _ body: (borrowing NameHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nameLocks.withLock(parent) { () throws(Errno) -> R in
            try body(NameHold(cache, native))
        }
    }

    /// Runs `body` with the names of both directories locked: for rename and link.
    public func withNames<R: ~Copyable>(
        of parents: [UInt64], _ body: (borrowing NameHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nameLocks.withLocks(parents) { () throws(Errno) -> R in
            try body(NameHold(cache, native))
        }
    }

    /// Runs `body` with the node of identity `key` locked.
    public func withNode<R: ~Copyable>(
        _ key: UInt64, _ body: (borrowing NodeHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nodeLocks.withLock(key) { () throws(Errno) -> R in
            try body(NodeHold(cache, native, notices))
        }
    }

    /// Runs `body` with all these nodes locked.
    public func withNodes<R: ~Copyable>(
        _ keys: [UInt64], _ body: (borrowing NodeHold) throws(Errno) -> R
    ) throws(Errno) -> R {
        try nodeLocks.withLocks(keys) { () throws(Errno) -> R in
            try body(NodeHold(cache, native, notices))
        }
    }
}

/// File handles that the kernel gives out by itself: nothing is open for them in the daemon. 0 is what
/// it has of a file that it opened without asking anybody.
public enum ReservedHandle {
    public static let unopened: UInt64 = 0

    public static func contains(_ handle: UInt64) -> Bool {
        handle & sf_fh_reserved != 0 || handle == unopened
    }
}

/// The right to publish and revoke names, while their directory is locked.
public struct NameHold: ~Copyable {
    private let cache: Sink?
    private let native: NativeCaches?
    /// As it was before anything was read under this hold.
    private let epoch: UInt64
    private let nativeEpoch: UInt64
    /// False: see `Coherence.reading`.
    public let isLocked: Bool

    init(_ cache: Sink?, _ native: NativeCaches?, isLocked: Bool = true) {
        self.cache = cache
        self.native = native
        self.isLocked = isLocked
        epoch = cache?.epoch ?? 0
        nativeEpoch = native?.epoch ?? 0
    }

    /// Lets the kernel answer LOOKUP of `name` (NUL-terminated bytes) in `parent` with `nodeid`; 0: that
    /// there is none.
    /// - Parameter isTold: changes of the directory that others make are told.
    /// - Returns: seconds for which the kernel may keep that. It needs no notification when the name
    ///   changes through the mount: it takes the directory's lock for that.
    @discardableResult
    public func publish(
        parent: UInt64, name: UnsafePointer<CChar>, nodeid: UInt64, isTold: Bool
    ) -> Double {
        guard isLocked else { return 0 }
        cache?.publishName(
            parent: parent, name: name, nodeid: nodeid, isKept: isTold && native != nil, in: epoch)
        guard isTold, let native, native.epoch == nativeEpoch else { return 0 }
        return native.options.entrySeconds
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
