import FuseSession
import Glibc
import KernelCache
import Syscall
import SystemPackage

/// Compares what the kernel would answer with SOURCE, as a check at run time.
extension MirrorFS {
    /// Compares about `rate` cached entries per second with SOURCE from now on, counts them, and
    /// counts and logs those that differ. Call it once.
    /// - Throws: `EAGAIN` if no more threads can be created.
    public func verify(rate: Int) throws(Errno) {
        guard rate > 0 else { return }
        let state = VerificationState()
        // In batches: a thread cannot reliably sleep for less than a millisecond.
        let batch = max(rate / 50, 1)
        try verification.start("verify", milliseconds: max(1000 * batch / rate, 1)) {
            [unowned self] in
            for _ in 0..<batch { verifyOne(state) }
        }
    }

    /// Only the thread that compares uses it.
    private final class VerificationState: @unchecked Sendable {
        var samples = CacheSamples()
    }

    private func verifyOne(_ state: VerificationState) {
        guard
            let sample = state.samples.next(in: coherence, { nodes.ids }),
            let first = compare(sample)
        else { return }
        options.gauges?.count(.verified)
        if first.isSame { return }
        // A change behind the mount may become visible later, but then it is no longer the same
        // entry.
        usleep(250_000)
        guard compare(sample) == first else { return }
        options.gauges?.count(.differences)
        log.error("verify: the cached \(sample) is not as in SOURCE")
    }

    /// - Returns: nil if nothing would be answered from it, or SOURCE cannot be read.
    func compare(_ sample: CacheSample) -> Comparison? {
        // As a request: descriptors stay open until its end.
        let token = requestBegins()
        defer { requestEnds(token) }
        switch sample {
        case .attributes(let id):
            guard let node = try? node(id) else { return nil }
            return try? coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
                hold.compare(nodeid: id, attributes: try status(node.fd))
            }
        case .data(let id, let index):
            guard let node = try? node(id) else { return nil }
            return try? compareData(node, index)
        case .name(let id, let name):
            guard let parent = try? node(id) else { return nil }
            return try? coherence.reading(namesOf: id) { (names) throws(Errno) in
                var found: NodeID? = 0
                do throws(Errno) {
                    found = nodes.node(Identity(try Syscall.status(at: parent.fd, name)))?.id
                } catch {
                    guard error == .noSuchFileOrDirectory else { throw error }
                }
                return names.compare(parent: id, name: name, nodeid: found)
            }
        }
    }

    private func compareData(_ node: Node, _ index: UInt64) throws(Errno) -> Comparison? {
        // Nothing else is opened: that of a FIFO waits, and that of a device has effects.
        let isCached = try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            hold.has(nodeid: node.id, index: index, node.versions)
        }
        guard isCached else { return nil }
        // Without O_NOATIME each comparison would change SOURCE's access time.
        let fd = try reopen(node, flags: O_RDONLY | Flag.noAccessTime)
        defer { Syscall.close(fd) }
        let buffer = try Syscall.threadBuffer(slot: 1, size: KernelCache.blockSize)
        return try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            let status = try self.status(node.fd)
            let offset = Int64(bitPattern: index) &* Int64(KernelCache.blockSize)
            // Data is compared only if the attributes are in the maps, so that it would be
            // answered.
            guard hold.compare(nodeid: node.id, attributes: status) != nil else { return nil }
            let count = try Syscall.read(fd, at: offset, into: buffer)
            return hold.compare(
                nodeid: node.id, index: index,
                bytes: UnsafeRawBufferPointer(rebasing: buffer[..<count]), node.versions)
        }
    }
}
