import FuseSession
import Glibc
import KernelCache
import SystemPackage

/// What is read under a lock is published under it.
extension LocalFileSystem {
    /// Reads the attributes of `node` again and publishes them. If that fails, the maps have none.
    @discardableResult
    package func publish(_ hold: borrowing NodeHold, _ node: Node) throws(Errno) -> stat {
        let status: stat
        do throws(Errno) {
            status = try readStatus(of: node)
        } catch {
            hold.revoke(nodeid: node.id, &node.versions)
            throw error
        }
        publish(hold, node, status)
        return status
    }

    /// Publishes the attributes of `node`, which were read under `hold`.
    package func publish(_ hold: borrowing NodeHold, _ node: Node, _ status: stat) {
        guard hold.isLocked, node.isCached, node.isKnown.load(ordering: .relaxed) else { return }
        if node.isVoid.load(ordering: .relaxed) {
            node.isVoid.store(false, ordering: .relaxed)
            hold.void(nodeid: node.id, &node.versions)
        }
        hold.publish(nodeid: node.id, attributes: status, &node.versions, isTold: node.isTold)
    }

    /// The seconds for which the kernel may keep the attributes of `node` that `publish` has read.
    /// - Parameter isNew: the kernel has nothing of the node yet.
    package func timeout(
        _ hold: borrowing NodeHold, _ node: Node, isNew: Bool = false
    ) -> Double {
        guard node.isKnown.load(ordering: .relaxed) else { return 0 }
        return hold.answer(
            nodeid: node.id, isNew: isNew, isTold: node.isTold, &node.versions)
    }

    /// Reads and publishes the attributes of `node`.
    package func status(of node: Node) throws(Errno) -> stat {
        let coherence = coherence
        guard coherence.isCaching else { return try readStatus(of: node) }
        return try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            try publish(hold, node)
        }
    }

    /// Call this after reading data, which changes the access time, and after other operations in
    /// which the source changes attributes by itself.
    package func touched(_ node: Node) {
        if coherence.isCaching { _ = try? status(of: node) }
    }

    /// Publishes the attributes of `node`, and the reply that `read` finds under its lock.
    package func publishReply(
        of node: Node, _ question: CachedQuestion, _ read: () -> CachedReply?
    ) throws(Errno) {
        let coherence = coherence
        guard coherence.isAccelerated else { return }
        try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            guard hold.isLocked else { return }
            try publish(hold, node)
            guard node.isKnown.load(ordering: .relaxed), let reply = read() else { return }
            hold.publish(nodeid: node.id, question, reply, node.versions)
        }
    }

    // MARK: Data

    /// The version of the data of `node`: call this before reading, and `publishData` after it.
    ///
    /// The source is read without the lock, because a slow disk would hold it for long.
    package func dataVersion(of node: Node) throws(Errno) -> UInt64 {
        try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            hold.isLocked ? node.versions.version : 0
        }
    }

    /// Publishes the attributes, and lets the kernel answer a READ of `bytes` from now on if `node` is still
    /// at `version`.
    /// - Parameter offset: of `bytes`, at the start of a block.
    package func publishData(
        of node: Node, at version: UInt64, offset: Int64, _ bytes: UnsafeRawBufferPointer
    ) throws(Errno) {
        let coherence = coherence
        try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            // Also because reading changes the access time.
            let status = try publish(hold, node)
            guard hold.isLocked, node.isKnown.load(ordering: .relaxed),
                status.st_mode & S_IFMT == S_IFREG, status.st_size <= coherence.fileMax
            else { return }
            // A partial block is valid only if the file ends in it.
            let isEnd = offset + Int64(bytes.count) == Int64(status.st_size)
            let complete = isEnd ? bytes.count : bytes.count & ~(KernelCache.blockSize - 1)
            hold.publishData(
                nodeid: node.id, at: version, node.versions, offset: offset,
                bytes: UnsafeRawBufferPointer(rebasing: bytes[..<complete]))
        }
    }

    // MARK: Opening

    /// Whether the kernel's pages are those of the current file.
    package func keepsPages(of node: Node) -> Bool {
        let coherence = coherence
        guard coherence.keepsPages, node.isTold else { return false }
        let isKept = try? coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            try publish(hold, node)
            return hold.isKept(nodeid: node.id, node.versions)
        }
        return isKept ?? false
    }

    /// Whether the kernel's listing of a directory is the current one. From now on the kernel may open it
    /// by itself if it is.
    package func keepsListing(of node: Node) -> Bool {
        let isKept = try? coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            hold.noteOpened(&node.versions)
            try publish(hold, node)
            return hold.isKept(nodeid: node.id, node.versions)
        }
        return isKept ?? false
    }

    /// The reply that lets the kernel open `node` for reading by itself from now on; nil if the daemon must do
    /// so.
    /// - Parameter isCallers: the open is a caller's, not the kernel's own.
    package func reserve(_ node: Node, isCallers: Bool) -> OpenFile? {
        let coherence = coherence
        if coherence.fileMax < 0 || !node.isCached { return nil }
        return try? coherence.reading(node: node.lockKey) { (hold) throws(Errno) -> OpenFile? in
            guard hold.isLocked, node.isKnown.load(ordering: .relaxed) else { return nil }
            hold.noteOpened(&node.versions)
            let status = try publish(hold, node)
            guard status.st_mode & S_IFMT == S_IFREG, status.st_size <= coherence.fileMax else {
                return nil
            }
            var file = OpenFile(
                handle: hold.reservedHandle(node.versions, isCallers: isCallers))
            file.keepsCache = hold.isKept(nodeid: node.id, node.versions)
            file.skipsFlush = true
            return file
        }
    }

    // MARK: Listings

    /// Reads a part of a directory, and notes what the kernel has of its listing.
    /// - Parameters:
    ///   - offset: of READDIR or READDIRPLUS.
    ///   - hasNodes: it is READDIRPLUS.
    ///   - body: lists, and returns the number of entries that fitted: 0 at the end.
    package func listing(
        of node: Node, from offset: Int64, hasNodes: Bool, _ body: () throws(Errno) -> Int
    ) throws(Errno) {
        let local = local
        let coherence = local.coherence
        guard coherence.isCaching else {
            _ = try body()
            return
        }
        if hasNodes { local.listingsWithNodes.begin(node.id) }
        defer { if hasNodes { local.listingsWithNodes.end(node.id) } }
        if offset == 0 {
            try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
                hold.noteListingBegun(&node.versions)
            }
        }
        let fitting = try body()
        // Reading changes the access time.
        try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            if fitting == 0 { hold.noteListingEnded(&node.versions) }
            try publish(hold, node)
        }
    }
}
