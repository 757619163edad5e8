import CShortfuseABI
import Glibc
import SystemPackage

/// The right to publish and revoke what is cached of a node, while it is locked.
public struct NodeHold: ~Copyable {
    private let cache: Sink?
    /// As it was before anything was read under this hold.
    private let epoch: UInt64

    init(_ cache: Sink?) {
        self.cache = cache
        epoch = cache?.epoch ?? 0
    }

    /// Lets the kernel answer GETATTR (and LOOKUP) of `nodeid` with `attributes`, which must have
    /// been read from the source under this hold.
    ///
    /// A ctime that moved without `begin` tells of a change behind the mount: all else that is
    /// cached of the node is void then.
    public func publish(nodeid: UInt64, attributes: stat, _ versions: inout Versions) {
        guard let cache else { return }
        compare(attributes, &versions)
        cache.publishAttributes(
            nodeid: nodeid, attributes: attributes, versions: versions, in: epoch)
    }

    /// Compares with what was read before. To be called also before `begin`, which forgets that.
    public func compare(_ attributes: stat, _ versions: inout Versions) {
        guard let cache else { return }
        let ctime =
            Int64(attributes.st_ctim.tv_sec) &* 1_000_000_000
            &+ Int64(attributes.st_ctim.tv_nsec)
        if versions.version == 0 {
            versions.version = cache.freshVersion(after: versions.version)
            // The kernel has nothing of a new node, so nothing old.
            if attributes.st_mode & S_IFMT == S_IFREG { versions.kept = versions.version }
        } else if !cache.isValid(version: versions.version)
            || (versions.ctime != 0 && versions.ctime != ctime)
        {
            renew(&versions)
        }
        versions.ctime = ctime
    }

    /// The attributes in the maps with the source's, read under this hold; nil if there are none.
    public func compare(nodeid: UInt64, attributes: stat) -> Comparison? {
        cache?.compare(nodeid: nodeid, attributes: attributes)
    }

    /// The same of a block of data.
    public func compare(
        nodeid: UInt64, index: UInt64, bytes: UnsafeRawBufferPointer, _ versions: Versions
    ) -> Comparison? {
        cache?.compare(
            nodeid: nodeid, version: versions.version, index: index, bytes: bytes)
    }

    /// Makes void all that is cached of `nodeid`: something changed it behind the mount. What the
    /// kernel itself has of it is old from here on.
    public func void(nodeid: UInt64, _ versions: inout Versions) {
        cache?.revokeAttributes(nodeid: nodeid)
        renew(&versions)
        versions.ctime = 0
    }

    private func renew(_ versions: inout Versions) {
        guard let cache else { return }
        versions.version = cache.freshVersion(after: versions.version)
        versions.xattrVersion &+= 1
        // Owner and mode may be others: the daemon is to try again whether it may open.
        versions.mayOpen = false
    }

    /// Takes the attributes of `nodeid` out of the maps, and all else with them until they are
    /// published again.
    public func revoke(nodeid: UInt64) {
        cache?.revokeAttributes(nodeid: nodeid)
    }

    /// Makes void what is cached of `nodeid` within `scope`. Call before the source changes.
    public func begin(_ scope: ChangeScope, nodeid: UInt64, _ versions: inout Versions) {
        guard let cache else { return }
        cache.revokeAttributes(nodeid: nodeid)
        versions.ctime = 0
        if scope.contains(.xattrs) {
            versions.xattrVersion &+= 1
            // Owner and mode are among them: the daemon is to try again whether it may open.
            versions.mayOpen = false
        }
        if scope.contains(.data) {
            // The kernel makes the same change in its page cache: what was of the old version
            // becomes of the new one.
            let isKept = isKept(nodeid: nodeid, versions)
            versions.version = cache.freshVersion(after: versions.version)
            if isKept { versions.kept = versions.version }
        } else if scope.contains(.names) {
            versions.version = cache.freshVersion(after: versions.version)
        }
    }

    /// The file or directory could be opened for reading: from now on the kernel may answer that
    /// itself, a directory's if it has the listing, too.
    ///
    /// Call `publish` after it, under the same hold.
    public func noteOpened(_ versions: inout Versions) {
        versions.mayOpen = true
    }

    /// The handle that the kernel would give out (bpf/files.bpf.h). After `publish`.
    /// - Parameter isCallers: not the kernel itself opens.
    public func reservedHandle(_ versions: Versions, isCallers: Bool) -> UInt64 {
        sf_fh_reserved | (isCallers ? versions.version : 0)
    }

    /// Whether what the kernel itself has of the node, pages or a listing, is to be kept.
    public func isKept(nodeid: UInt64, _ versions: Versions) -> Bool {
        guard let cache, cache.isValid(version: versions.version) else { return false }
        return versions.kept == versions.version
            || cache.isKept(nodeid: nodeid, version: versions.version)
    }

    /// The kernel reads a directory from its start.
    public func noteListingBegun(_ versions: inout Versions) {
        versions.listing = versions.version
    }

    /// The kernel has read to the end of a directory. If nothing changed since the start, it has
    /// the whole, and may open the directory by itself. Call `publish` after it.
    public func noteListingEnded(_ versions: inout Versions) {
        guard versions.version != 0, versions.listing == versions.version else { return }
        versions.kept = versions.version
    }

    /// Lets the kernel answer READ: `bytes`, which were read from the source at block `index` on
    /// while the node was at `version`. Nothing if that is over.
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

    /// LOOKUPs of `nodeid` that the kernel answered since the last call: to be added to its nlookup
    /// before a FORGET is subtracted.
    public func harvest(nodeid: UInt64) -> UInt64 {
        cache?.harvest(nodeid: nodeid, retire: false) ?? 0
    }

    /// As `harvest`, and no further LOOKUP is granted until `nodeid` is published again: call it
    /// when nlookup would drop to 0, and free the node only if this too returns 0.
    public func retire(nodeid: UInt64) -> UInt64 {
        cache?.harvest(nodeid: nodeid, retire: true) ?? 0
    }
}
