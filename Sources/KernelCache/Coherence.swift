import CShortfuseABI
import Glibc
import SystemPackage

#if FAULTS
    typealias Sink = FaultyCache
#else
    typealias Sink = KernelCache
#endif

/// The only place that orders revoking, changing the source, publishing and replying.
///
/// Two kinds of lock, always taken in this order:
///
/// 1. **names** of a directory, by its nodeid: held while a name is looked up and published, and
///    while it is created, removed or renamed.
/// 2. **node**, by the identity of the file in the source, so that it also covers files without a
///    nodeid: held while attributes are read and published, and while anything changes them.
///
/// A lock yields a hold, and only a hold can publish or revoke: nothing reaches the maps outside
/// its lock. A change revokes *before* it changes the source. Until it releases the lock no other
/// thread can publish, so the maps answer nothing about what it changes: neither the old state
/// after the new one was visible, nor a partial one.
public final class Coherence: Sendable {
    private let cache: Sink?
    private let native: NativeCaches?
    private let notices: (any CacheNotices)?
    private let nameLocks: StripeLocks
    private let nodeLocks: StripeLocks

    /// - Parameters:
    ///   - cache: nil without acceleration: then nothing is published.
    ///   - native: nil if the kernel may keep nothing in its own caches.
    ///   - notices: nil if there is no kernel to notify: without a mount.
    ///   - isAbandoned: whether the caller of the request that the calling thread serves has been
    ///     killed. Then a thread that waits for a lock to change something gives up.
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

    /// True where publishing has an effect: lets a caller skip reading what only the maps need.
    public var isAccelerated: Bool { cache != nil }

    /// True where anything is cached, in the maps or in the kernel's own caches: then each answer
    /// must have been read under its lock.
    public var isCaching: Bool { cache != nil || native != nil }

    /// True where attributes must be read and returned under the node's lock: where anything is
    /// cached, and where a kernel counts links by itself, see `NodeHold.beginRemoval`.
    public var locksAttributes: Bool { isCaching || notices != nil }

    /// True where the kernel may keep names and attributes.
    public var usesNativeCaches: Bool { native != nil }

    /// True where the kernel keeps pages and listings until it is notified.
    public var keepsPages: Bool { cache != nil || native?.options.keepsPages ?? false }

    /// The maximum size of files whose data is published; -1: none.
    public var fileMax: Int { cache?.fileMax ?? -1 }

    /// As `KernelCache.nextName`.
    func nextName(after key: inout [UInt8]) -> CacheSample? {
        cache?.nextName(after: &key)
    }

    /// Invalidates everything in the maps at once, and everything that is being read for them. For
    /// unknown changes in the source.
    public func dropEverything() { cache?.dropEverything() }

    /// Invalidates what is cached of a node whose lock is held for a long time, and prevents
    /// publishing of what is being read from the source: something changed behind the mount.
    /// - Parameter find: returns the node, if it exists by now.
    public func voidUnlocked(_ find: () -> UInt64?) {
        // A thread that has already published created the node before.
        voidReaders()
        guard let nodeid = find() else { return }
        _ = cache?.revokeAttributes(nodeid: nodeid)
        if native != nil { notices?.endAttributes(of: nodeid) }
    }

    /// Prevents publishing of what is being read from the source.
    public func voidReaders() {
        cache?.voidReaders()
        native?.voidReaders()
    }

    /// Runs `body`, which only reads, with the names of directory `parent` locked; without the lock
    /// if a change has held it for long (the source may be frozen, or a network).
    ///
    /// An answer of `body` without the lock is also correct: it is the state before or after a
    /// change that has not returned. But it must not be kept, so a hold without a lock publishes
    /// nothing and permits no time-out.
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
    /// - Throws: `EINTR` if the request's caller has been killed, as all below.
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

/// File handles that the kernel assigns by itself: the daemon has nothing open for them. 0 is the
/// handle of a file that it opened without a request.
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

    /// Lets the kernel answer LOOKUP of a name.
    /// - Parameters:
    ///   - parent: the nodeid of the directory, whose names this hold has locked.
    ///   - name: NUL-terminated bytes.
    ///   - nodeid: of the node that has this name; 0: the name does not exist.
    ///   - isTold: the kernel is notified of changes that others make in the directory.
    /// - Returns: seconds for which the kernel may keep the answer. It needs no notification of
    ///   changes of the name through the mount, because it takes the directory's lock for them.
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

    /// Removes `name` in `parent`, or that it does not exist, from the maps. Call it before the
    /// source changes.
    public func revoke(parent: UInt64, name: UnsafePointer<CChar>) {
        cache?.revokeName(parent: parent, name: name)
    }
}
