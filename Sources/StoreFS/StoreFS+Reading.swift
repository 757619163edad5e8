import FuseSession
import Glibc
import KernelCache
import SystemPackage

/// The store is asked without a lock; its answer is kept only if nothing has changed since.
extension StoreFS {
    func attributes(of node: Node) async throws(Errno) -> Attributes {
        let since = clock.now
        let answer = try await store.attributes(of: node.id)
        await node.pages.wait()
        let timeout = try coherence.withNode(key(node.id)) { (hold) throws(Errno) in
            keep(hold, node, answer.value, for: remaining(answer.kept), since: since)
        }
        return Attributes(answer.value.status, timeout: timeout)
    }

    func find(_ name: FileName, in directory: Node) async throws(Errno) -> Entry {
        let since = clock.now
        let answer = try await store.find(name, in: directory.id)
        let remaining = remaining(answer.kept)
        guard let found = answer.value else {
            let seconds = try publish(
                name, in: directory, as: 0, for: remaining,
                isForever: answer.kept == .forever, since: since)
            guard seconds > 0 else { throw .noSuchFileOrDirectory }
            return Entry(nodeID: 0, attributes: stat(), entryTimeout: seconds)
        }
        let (node, isNew) = nodes.grant(found.id)
        await node.pages.wait()
        var entry = Entry(nodeID: node.nodeid, attributes: found.attributes.status)
        do throws(Errno) {
            entry.attributeTimeout = try coherence.withNode(key(found.id)) {
                (hold) throws(Errno) in
                keep(
                    hold, node, found.attributes, for: remaining, since: since, isNew: isNew)
            }
            entry.entryTimeout = try publish(
                name, in: directory, as: node.nodeid, for: remaining,
                isForever: answer.kept == .forever, since: since)
        } catch {
            forget(node: node.nodeid, count: 1)
            throw error
        }
        return entry
    }

    /// - Parameter nodeid: 0: the name does not exist.
    /// - Returns: seconds for which the kernel may keep it.
    private func publish(
        _ name: FileName, in directory: Node, as nodeid: NodeID, for remaining: Double,
        isForever: Bool, since: UInt64
    ) throws(Errno) -> Double {
        try coherence.withNames(of: directory.nodeid) { (names) throws(Errno) -> Double in
            guard remaining > 0, clock.permits(key(name, in: directory.id), since: since)
            else { return 0 }
            // A name that others may change must be dropped without waiting for its directory.
            let isTold = isForever || Notifier.dropsNames
            let seconds = name.withCString {
                names.publish(
                    parent: directory.nodeid, name: $0, nodeid: nodeid, isTold: isTold)
            }
            return min(seconds, remaining)
        }
    }

    func target(of node: Node) async throws(Errno) -> [UInt8] {
        let target = try await store.target(of: node.id)
        try coherence.withNode(key(node.id)) { (hold) throws(Errno) in
            guard let reply = target.withUnsafeBytes({ CachedReply($0) }) else { return }
            hold.publish(nodeid: node.nodeid, .readLink, reply, node.versions)
        }
        return target
    }

    func read(_ node: Node, at offset: Int64, count: Int) async throws(Errno) -> [UInt8] {
        node.readsBegun.wrappingAdd(1, ordering: .sequentiallyConsistent)
        node.readsUnderWay.wrappingAdd(1, ordering: .sequentiallyConsistent)
        defer { node.readsUnderWay.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
        let since = clock.now
        let version = try coherence.withNode(key(node.id)) { (_) throws(Errno) in
            node.versions.version
        }
        let answer = try await store.read(node.id, at: offset, count: count)
        let bytes = answer.value.count > count ? Array(answer.value[..<count]) : answer.value
        if coherence.fileMax >= 0, remaining(answer.kept) > 0 {
            try coherence.withNode(key(node.id)) { (hold) throws(Errno) in
                guard clock.permits(key(node.id), since: since) else { return }
                publish(hold, node, bytes, at: offset, version, isEnd: bytes.count < count)
            }
        }
        return bytes
    }

    /// Whole blocks only; the last block may be partial if the file ends in it.
    private func publish(
        _ hold: borrowing NodeHold, _ node: Node, _ bytes: [UInt8], at offset: Int64,
        _ version: UInt64, isEnd: Bool
    ) {
        guard offset % Int64(KernelCache.blockSize) == 0 else { return }
        let complete =
            isEnd ? bytes.count : bytes.count / KernelCache.blockSize * KernelCache.blockSize
        bytes.withUnsafeBytes {
            hold.publishData(
                nodeid: node.nodeid, at: version, node.versions, offset: offset,
                bytes: UnsafeRawBufferPointer(rebasing: $0[..<complete]))
        }
    }

    func extendedAttribute(_ name: String, of node: Node) async throws(Errno) -> [UInt8] {
        let since = clock.now
        let answer = try await store.extendedAttribute(name, of: node.id)
        try keep(node, answer.kept, since: since) { hold in
            let reply: CachedReply?
            if let value = answer.value {
                reply = value.withUnsafeBytes { CachedReply($0) }
            } else {
                reply = CachedReply(Errno.noData)
            }
            guard let reply else { return }
            name.withCString {
                hold.publish(nodeid: node.nodeid, .extendedAttribute($0), reply, node.versions)
            }
        }
        guard let value = answer.value else { throw .noData }
        return value
    }

    func extendedAttributeNames(
        of node: Node, for caller: Caller
    ) async throws(Errno) -> [UInt8] {
        let since = clock.now
        let answer = try await store.extendedAttributeNames(of: node.id)
        // The trusted class is hidden from the unprivileged (xattr(7)), so the list is not the same for all.
        let isForAll = !answer.value.contains { $0.hasPrefix("trusted.") }
        let visible =
            isForAll || caller.uid == 0
            ? answer.value : answer.value.filter { !$0.hasPrefix("trusted.") }
        let names = visible.flatMap { (name) -> [UInt8] in Array(name.utf8) + [0] }
        try keep(node, isForAll ? answer.kept : .no, since: since) { hold in
            guard let reply = names.withUnsafeBytes({ CachedReply($0) }) else { return }
            hold.publish(nodeid: node.nodeid, .extendedAttributeNames, reply, node.versions)
        }
        return names
    }

    private func keep<V>(
        _ node: Node, _ kept: Answer<V>.Kept, since: UInt64,
        _ publish: (borrowing NodeHold) -> Void
    ) throws(Errno) {
        guard remaining(kept) > 0 else { return }
        try coherence.withNode(key(node.id)) { (hold) throws(Errno) in
            if clock.permits(key(node.id), since: since) { publish(hold) }
        }
    }
}
