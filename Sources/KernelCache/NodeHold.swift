import CShortfuseABI
import Glibc
import SystemPackage

/// The right to publish and revoke what is cached of a node, while it is locked.
public struct NodeHold: ~Copyable {
    private let cache: Sink?
    private let native: NativeCaches?
    private let notices: (any CacheNotices)?
    /// As it was before anything was read under this hold.
    private let epoch: UInt64
    private let nativeEpoch: UInt64
    /// False: see `Coherence.reading`. Then `Versions` are not used.
    public let isLocked: Bool

    init(
        _ cache: Sink?, _ native: NativeCaches?, _ notices: (any CacheNotices)?,
        isLocked: Bool = true
    ) {
        self.cache = cache
        self.native = native
        self.notices = notices
        self.isLocked = isLocked
        epoch = cache?.epoch ?? 0
        nativeEpoch = native?.epoch ?? 0
    }

    /// Lets the kernel answer GETATTR (and LOOKUP) of a node.
    ///
    /// A ctime that changed without `begin` reveals a change behind the mount: then everything else
    /// that is cached of the node is void.
    /// - Parameters:
    ///   - nodeid: of the locked node.
    ///   - attributes: the answer, which must have been read from the source under this hold.
    ///   - versions: the node's.
    ///   - isTold: changes that others make are reported, so the kernel may keep the answers.
    public func publish(
        nodeid: UInt64, attributes: stat, _ versions: inout Versions, isTold: Bool = true
    ) {
        guard isLocked else { return }
        compare(attributes, &versions)
        note(attributes, nodeid: nodeid, &versions)
        guard let cache else { return }
        if versions.removals > 0 { return takeOut(nodeid, &versions) }
        versions.isOffered = native != nil && isTold
        cache.publishAttributes(
            nodeid: nodeid, attributes: attributes, versions: versions, in: epoch)
    }

    /// Detects attributes that differ from those that the kernel has: the source changes some by
    /// itself (the access time, blocks).
    private func note(_ attributes: stat, nodeid: UInt64, _ versions: inout Versions) {
        guard native != nil else { return }
        let print = attributes.fingerprint
        guard versions.print != print else { return }
        if versions.print != 0 { drop(nodeid, &versions) }
        versions.print = print
    }

    /// How long the kernel may keep attributes that are returned now: those last passed to `publish`
    /// under this hold.
    /// - Parameters:
    ///   - nodeid: of the locked node.
    ///   - isNew: the kernel has nothing of the node yet.
    ///   - isTold: changes that others make are reported.
    ///   - versions: the node's.
    /// - Returns: seconds.
    public func answer(
        nodeid: UInt64, isNew: Bool, isTold: Bool, _ versions: inout Versions
    ) -> Double {
        guard isLocked else {
            // A removal of one of the file's names may be in progress, see `beginRemoval`.
            endUnlocked(nodeid: nodeid)
            return 0
        }
        if versions.removals > 0 {
            // The reply that is about to be sent is void: see `beginRemoval`.
            notices?.endAttributes(of: nodeid)
            return 0
        }
        guard let native, isTold, native.epoch == nativeEpoch else { return 0 }
        #if FAULTS
            defer { if Fault.current == .unheld { versions.isHeld = false } }
            if Fault.keepsAtOnce { versions.told = Versions.always }
        #endif
        if isNew { versions.told = Versions.always }
        guard versions.told != 0 else {
            versions.told = NativeCaches.now
            return 0
        }
        guard isSettled(versions.told) else { return 0 }
        versions.isHeld = true
        return native.options.attributeSeconds
    }

    /// The kernel keeps an access control list, which is about to be returned, until the attributes
    /// are dropped.
    public func hold(_ versions: inout Versions) {
        if native != nil, isLocked { versions.isHeld = true }
    }

    /// What was read of `nodeid` without the lock must not be kept: the reply is void. If the lock is
    /// held, does nothing.
    public func endUnlocked(nodeid: UInt64) {
        if !isLocked { notices?.endAttributes(of: nodeid) }
    }

    private func isSettled(_ told: UInt32) -> Bool {
        switch told {
        case 0, Versions.never: false
        case Versions.always: true
        default: NativeCaches.now &- told >= native?.options.settleTicks ?? UInt32.max
        }
    }

    /// Removes the attributes of `nodeid` from the maps, and records whether a program may have let
    /// the kernel keep them.
    private func takeOut(_ nodeid: UInt64, _ versions: inout Versions) {
        guard let cache else { return }
        let told = cache.revokeAttributes(nodeid: nodeid)
        guard versions.isOffered else { return }
        // If another node has the slot by now, it is not known what was answered.
        if told == nil || isSettled(told ?? 0) { versions.isHeld = true }
        versions.isOffered = false
    }

    /// The attributes of `nodeid` are about to change, or have changed: removes them from the maps
    /// and the kernel's own cache.
    private func drop(
        _ nodeid: UInt64, _ versions: inout Versions, for scope: ChangeScope = []
    ) {
        takeOut(nodeid, &versions)
        if versions.isHeld {
            notify(nodeid, scope)
            versions.isHeld = false
        }
        versions.told = 0
        versions.print = 0
    }

    private func notify(_ nodeid: UInt64, _ scope: ChangeScope) {
        #if FAULTS
            if Fault.isUntold(scope) { return }
            Fault.notify { [notices] in notices?.endAttributes(of: nodeid) }
        #else
            notices?.endAttributes(of: nodeid)
        #endif
    }

    /// Compares with what was read before. Also call it before `begin`, which forgets that.
    public func compare(_ attributes: stat, _ versions: inout Versions) {
        guard isLocked, cache != nil || native != nil else { return }
        let ctime =
            Int64(attributes.st_ctim.tv_sec) &* 1_000_000_000
            &+ Int64(attributes.st_ctim.tv_nsec)
        if versions.version == 0 {
            versions.version = freshVersion(after: versions.version)
            // The kernel has nothing of a new node, and so nothing old.
            if attributes.st_mode & S_IFMT == S_IFREG { versions.kept = versions.version }
        } else if !isValid(versions.version)
            || (versions.ctime != 0 && versions.ctime != ctime)
        {
            renew(&versions)
        }
        versions.ctime = ctime
    }

    private func freshVersion(after version: UInt64) -> UInt64 {
        cache?.freshVersion(after: version) ?? native?.freshNumber() ?? version
    }

    private func isValid(_ version: UInt64) -> Bool { cache?.isValid(version: version) ?? true }

    /// Compares the attributes in the maps with the source's, read under this hold; nil if there
    /// are none.
    public func compare(nodeid: UInt64, attributes: stat) -> Comparison? {
        cache?.compare(nodeid: nodeid, attributes: attributes)
    }

    /// The same for a block of data.
    public func compare(
        nodeid: UInt64, index: UInt64, bytes: UnsafeRawBufferPointer, _ versions: Versions
    ) -> Comparison? {
        cache?.compare(
            nodeid: nodeid, version: versions.version, index: index, bytes: bytes)
    }

    /// True if the maps have this block of data.
    package func has(nodeid: UInt64, index: UInt64, _ versions: Versions) -> Bool {
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        return compare(nodeid: nodeid, index: index, bytes: nothing, versions) != nil
    }

    /// Invalidates everything that is cached of `nodeid`, because it changed behind the mount. From
    /// now on what the kernel itself has of it is old.
    public func void(nodeid: UInt64, _ versions: inout Versions) {
        #if FAULTS
            if Fault.keepsAttributesBehind {
                takeOut(nodeid, &versions)
                versions.isHeld = false
            }
        #endif
        drop(nodeid, &versions)
        renew(&versions)
        versions.ctime = 0
    }

    private func renew(_ versions: inout Versions) {
        guard cache != nil || native != nil else { return }
        versions.version = freshVersion(after: versions.version)
        versions.xattrVersion &+= 1
        // Owner and mode may have changed: the daemon must check again whether it may open it.
        versions.mayOpen = false
    }

    /// Removes the attributes of `nodeid` from the maps; until they are published again, nothing
    /// else of it is answered either.
    public func revoke(nodeid: UInt64, _ versions: inout Versions) {
        guard isLocked else { return }
        takeOut(nodeid, &versions)
    }

    /// Invalidates what is cached of `nodeid` within `scope`. Call it before the source changes.
    public func begin(_ scope: ChangeScope, nodeid: UInt64, _ versions: inout Versions) {
        guard cache != nil || native != nil else { return }
        drop(nodeid, &versions, for: scope)
        versions.ctime = 0
        if scope.contains(.xattrs) {
            versions.xattrVersion &+= 1
            // This includes owner and mode: the daemon must check again whether it may open it.
            versions.mayOpen = false
        }
        if scope.contains(.data) {
            // The kernel makes the same change in its page cache: pages of the old version get the
            // new one.
            let isKept = isKept(nodeid: nodeid, versions)
            versions.version = freshVersion(after: versions.version)
            if isKept { versions.kept = versions.version }
        } else if scope.contains(.names) {
            versions.version = freshVersion(after: versions.version)
        }
    }

    /// One of several names of a file is about to be removed, after `begin`. Until `endRemoval`
    /// every answer about the file is void: when the kernel gets the reply to the removal, it
    /// decrements the link count by itself, even if it has meanwhile received the decremented count
    /// (fuse_entry_unlinked of fs/fuse/dir.c).
    /// - Returns: true if `endRemoval` must follow, when the kernel has applied the reply.
    public func beginRemoval(_ versions: inout Versions) -> Bool {
        guard notices != nil, versions.removals < UInt8.max else { return false }
        #if FAULTS
            if Fault.current == .removal { return false }
        #endif
        versions.removals += 1
        return true
    }

    /// The kernel has applied the reply to a removal.
    public func endRemoval(nodeid: UInt64, _ versions: inout Versions) {
        versions.removals -= versions.removals > 0 ? 1 : 0
    }

    /// The file or directory could be opened for reading: from now on the kernel may answer this
    /// itself, for a directory only if it also has the listing.
    ///
    /// Call `publish` after it, under the same hold.
    public func noteOpened(_ versions: inout Versions) {
        guard isLocked else { return }
        versions.mayOpen = true
    }

    /// The handle that the kernel would assign (bpf/files.bpf.h). Call it after `publish`.
    /// - Parameters:
    ///   - versions: of the file or directory that is opened.
    ///   - isCallers: the open is a caller's, not the kernel's own.
    public func reservedHandle(_ versions: Versions, isCallers: Bool) -> UInt64 {
        sf_fh_reserved | (isCallers ? versions.version : 0)
    }

    /// Whether the kernel may keep its pages or its listing of the node.
    public func isKept(nodeid: UInt64, _ versions: Versions) -> Bool {
        guard isLocked, versions.version != 0, isValid(versions.version) else { return false }
        return versions.kept == versions.version
            || cache?.isKept(nodeid: nodeid, version: versions.version) ?? false
    }

    /// The kernel has dropped its pages of the file since the file changed behind the mount;
    /// `version` was the file's when the kernel began.
    public func noteDropped(at version: UInt64, _ versions: inout Versions) {
        if versions.version == version { versions.kept = version }
    }

    /// The kernel reads a directory from its start.
    public func noteListingBegun(_ versions: inout Versions) {
        guard isLocked else { return }
        versions.listing = versions.version
    }

    /// The kernel has read to the end of a directory. If nothing has changed since the start, it
    /// has the whole listing, and may open the directory by itself. Call `publish` after it.
    public func noteListingEnded(_ versions: inout Versions) {
        guard isLocked, versions.version != 0, versions.listing == versions.version else { return }
        versions.kept = versions.version
    }

    /// Lets the kernel answer READ with `bytes`, which were read from the source from block `index`
    /// on while the node was at `version`. Does nothing if the version has changed.
    public func publishData(
        nodeid: UInt64, at version: UInt64, _ versions: Versions, offset: Int64,
        bytes: UnsafeRawBufferPointer
    ) {
        guard let cache, version != 0, version == versions.version else { return }
        cache.publishData(
            nodeid: nodeid, version: version,
            index: UInt64(bitPattern: offset) / UInt64(KernelCache.blockSize), bytes: bytes)
    }

    /// Lets the kernel answer `question` with `reply`, which must have been read under this hold,
    /// after `publish`.
    public func publish(
        nodeid: UInt64, _ question: CachedQuestion, _ reply: CachedReply, _ versions: Versions
    ) {
        cache?.publishReply(
            nodeid: nodeid, xattrVersion: versions.xattrVersion, question: question, reply: reply)
    }

    /// True if the kernel has answered STATFS of `nodeid` since it was last published.
    public func areStatisticsUsed(nodeid: UInt64) -> Bool {
        cache?.areStatisticsUsed(nodeid: nodeid) ?? false
    }

    /// Subtracts a FORGET from the nlookup of a node, and adds the lookups that the kernel granted.
    /// - Parameters:
    ///   - nodeid: of the locked node.
    ///   - count: how many lookups the kernel forgets.
    ///   - add: adds to the nlookup and returns it.
    /// - Returns: nil while lookups are left. Otherwise no more are granted, and the node may be
    ///   freed; the value is how many more times it was forgotten than looked up.
    public func forget(
        nodeid: UInt64, count: UInt64, add: (Int64) -> Int64
    ) -> Int64? {
        let granted = harvest(nodeid: nodeid) &- count
        guard add(Int64(truncatingIfNeeded: granted)) <= 0 else { return nil }
        // From here on the kernel cache grants no more lookups.
        let left = add(Int64(truncatingIfNeeded: retire(nodeid: nodeid)))
        return left > 0 ? nil : -left
    }

    /// LOOKUPs of `nodeid` that the kernel answered since the last call: to be added to its nlookup
    /// before a FORGET is subtracted.
    private func harvest(nodeid: UInt64) -> UInt64 {
        cache?.harvest(nodeid: nodeid, retire: false) ?? 0
    }

    /// As `harvest`, and no further LOOKUP is granted until `nodeid` is published again: call it
    /// when nlookup would drop to 0, and free the node only if this also returns 0.
    private func retire(nodeid: UInt64) -> UInt64 {
        cache?.harvest(nodeid: nodeid, retire: true) ?? 0
    }
}

extension stat {
    /// Different attributes have different ones, except in one case of 2^32; never 0.
    fileprivate var fingerprint: UInt32 {
        var sum: UInt64 = 0
        func mix(_ word: UInt64) {
            sum = (sum ^ word) &* 0x9E37_79B9_7F4A_7C15
            sum ^= sum >> 29
        }
        mix(UInt64(st_ino))
        mix(UInt64(st_mode) << 32 | UInt64(st_uid))
        mix(UInt64(st_nlink) << 32 ^ UInt64(st_gid))
        mix(UInt64(bitPattern: Int64(st_size)))
        mix(UInt64(bitPattern: Int64(st_blocks)))
        mix(UInt64(bitPattern: Int64(st_atim.tv_sec)) << 30 ^ UInt64(st_atim.tv_nsec))
        mix(UInt64(bitPattern: Int64(st_mtim.tv_sec)) << 30 ^ UInt64(st_mtim.tv_nsec))
        mix(UInt64(bitPattern: Int64(st_ctim.tv_sec)) << 30 ^ UInt64(st_ctim.tv_nsec))
        return max(UInt32(truncatingIfNeeded: sum >> 16), 1)
    }
}
