import FuseSession
import Glibc
import KernelCache
import SystemPackage

/// Compares what the kernel would answer with the source, as a check at run time.
extension LocalFileSystem {
    /// Compares about `rate` cached entries per second with the source from now on, counts them, and
    /// counts and logs those that differ. Call it once.
    /// - Throws: `EAGAIN` if no more threads can be created.
    package func startVerification(rate: Int) throws(Errno) {
        guard rate > 0 else { return }
        let state = VerificationState()
        // In batches: a thread cannot reliably sleep for less than a millisecond.
        let batch = max(rate / 50, 1)
        try local.verification.start("verify", milliseconds: max(1000 * batch / rate, 1)) {
            [unowned self] in
            for _ in 0..<batch { verifyOne(state) }
        }
    }

    /// Ends the thread and waits for it.
    package func stopVerification() { local.verification.stop() }

    private func verifyOne(_ state: VerificationState) {
        guard
            let sample = state.samples.next(in: coherence, { local.nodes.ids }),
            let first = compare(sample)
        else { return }
        local.gauges?.count(.verified)
        if first.isSame { return }
        // A change behind the mount may become visible later, but then it is no longer the same
        // entry.
        usleep(250_000)
        guard compare(sample) == first else { return }
        local.gauges?.count(.differences)
        local.log.error("verify: the cached \(sample) is not as in SOURCE")
    }

    /// - Returns: nil if nothing would be answered from it, or the source cannot be read.
    package func compare(_ sample: CacheSample) -> Comparison? {
        // As a request: what it uses stays until its end.
        let token = requestBegins()
        defer { requestEnds(token) }
        switch sample {
        case .attributes(let id):
            guard isCached(id), let node = try? node(id) else { return nil }
            return try? coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
                hold.compare(nodeid: id, attributes: try readStatus(of: node))
            }
        case .data(let id, let index):
            guard isCached(id, block: index), let node = try? node(id) else { return nil }
            return (try? compareData(node, index)) ?? nil
        case .name(let id, let name):
            guard let parent = try? node(id) else { return nil }
            return try? coherence.reading(namesOf: id) { (names) throws(Errno) in
                try name.withUnsafeBufferPointer { (name) throws(Errno) -> Comparison? in
                    guard let name = name.baseAddress else { return nil }
                    let place = Place(directory: parent, name: name)
                    return names.compare(parent: id, name: name, nodeid: try nodeid(at: place))
                }
            }
        }
    }

    /// True if the maps have the attributes of the node, or a block of its data.
    ///
    /// Nothing else is opened: a parked file would be opened again, opening a FIFO waits, and opening a device
    /// has effects.
    private func isCached(_ id: NodeID, block index: UInt64? = nil) -> Bool {
        guard let node = local.nodes.node(id) else { return false }
        let found = try? coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            if let index { return hold.has(nodeid: id, index: index, node.versions) }
            return hold.compare(nodeid: id, attributes: stat()) != nil
        }
        return found ?? false
    }

    /// - Returns: 0 if the name does not exist; nil: its file has no node.
    private func nodeid(at place: Place<Node>) throws(Errno) -> NodeID? {
        do throws(Errno) {
            return local.nodes.node(Identity(try readStatus(at: place)))?.id
        } catch {
            guard error == .noSuchFileOrDirectory else { throw error }
            return 0
        }
    }

    private func compareData(_ node: Node, _ index: UInt64) throws(Errno) -> Comparison? {
        try withReader(of: node) { (reader) throws(Errno) in
            try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
                // Data is compared only if the attributes are in the maps, so that it would be
                // answered.
                let status = try readStatus(of: node)
                guard hold.compare(nodeid: node.id, attributes: status) != nil else { return nil }
                return hold.compare(
                    nodeid: node.id, index: index, bytes: try reader(index), node.versions)
            }
        }
    }
}

/// Only the thread that compares uses it.
private final class VerificationState: @unchecked Sendable {
    var samples = CacheSamples()
}
