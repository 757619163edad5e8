import FuseSession
import KernelCache
import SystemPackage

/// Compares what the maps would answer with the store, which shows whether that tells of all changes.
extension StoreFS {
    /// Compares about `rate` entries a second until its task is cancelled, counts them, and counts and
    /// logs those that differ.
    func verify(rate: Int, _ gauges: CacheGauges) async {
        var samples = CacheSamples()
        // A task cannot sleep for less than about a millisecond.
        let batch = max(rate / 50, 1)
        while !Task.isCancelled {
            for _ in 0..<batch {
                let sample = samples.next(in: coherence) { nodes.all.map(\.nodeid) }
                if let sample { await verify(sample, gauges) }
            }
            try? await Task.sleep(for: .microseconds(1_000_000 * batch / rate))
        }
    }

    private func verify(_ sample: CacheSample, _ gauges: CacheGauges) async {
        guard let first = try? await compare(sample) else { return }
        gauges.count(.verified)
        if first.isSame { return }
        // A store that is told by a server may hear of a change a moment later than it sees it.
        try? await Task.sleep(for: .milliseconds(250))
        guard (try? await compare(sample)) == first else { return }
        gauges.count(.differences)
        log.error("verify: the cached \(sample) is not what the store answers")
    }

    /// - Returns: nil if nothing would be answered from it, or it changed meanwhile.
    private func compare(_ sample: CacheSample) async throws(Errno) -> Comparison? {
        let since = clock.now
        switch sample {
        case .attributes(let id):
            let node = try node(id)
            let status = try await store.attributes(of: node.id).value.status
            return try comparing(node, since) { $0.compare(nodeid: id, attributes: status) }
        case .data(let id, let index):
            let node = try node(id)
            let size = Int64(KernelCache.blockSize)
            let (offset, overflow) = Int64(bitPattern: index).multipliedReportingOverflow(by: size)
            guard !overflow, offset >= 0, try isCached(index, of: node) else { return nil }
            let bytes = try await store.read(node.id, at: offset, count: Int(size)).value
            return try comparing(node, since) { hold in
                bytes.withUnsafeBytes {
                    hold.compare(nodeid: id, index: index, bytes: $0, node.versions)
                }
            }
        case .name(let id, let text):
            let parent = try node(id)
            guard let name = FileName(bytes: text.dropLast().map { UInt8(bitPattern: $0) })
            else { return nil }
            let found = try await store.find(name, in: parent.id).value
            if let found { store.forget(found.id, times: 1) }
            return try coherence.reading(namesOf: id) { (names) throws(Errno) in
                guard clock.permits(key(name, in: parent.id), since: since) else { return nil }
                let child = found.map { nodes.node($0.id)?.nodeid } ?? 0
                return name.withCString { names.compare(parent: id, name: $0, nodeid: child) }
            }
        }
    }

    /// Without that the store would be asked for nothing.
    private func isCached(_ index: UInt64, of node: Node) throws(Errno) -> Bool {
        try coherence.reading(node: key(node.id)) { (hold) throws(Errno) in
            hold.has(nodeid: node.nodeid, index: index, node.versions)
        }
    }

    private func comparing(
        _ node: Node, _ since: UInt64, _ body: (borrowing NodeHold) -> Comparison?
    ) throws(Errno) -> Comparison? {
        try coherence.reading(node: key(node.id)) { (hold) throws(Errno) in
            clock.permits(key(node.id), since: since) ? body(hold) : nil
        }
    }
}
