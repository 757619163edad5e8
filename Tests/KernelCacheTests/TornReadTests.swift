import CShortfuseABI
import Glibc
import Synchronization
import Testing

@testable import KernelCache

/// A block that is rewritten while a program copies it is never answered half old, half new.
@Suite struct TornReadTests {
    /// Two files whose blocks fight for the same elements are written over and over; every answer
    /// must be one file's bytes, of one version, throughout. On a busy machine the writer may have had
    /// its rounds before the reader had its time: so it goes on until there are enough answers, or a
    /// torn one if that is asked for, but not for ever.
    private func race(
        rounds: Int, untilTorn: Bool = false,
        write: @escaping @Sendable (KernelCache, UInt64, UInt64, UInt8) -> Void
    ) throws -> (answers: UInt64, torn: UInt64) {
        // One set of blocks, so that all fight.
        let cache = try makeCache(
            dataBytes: MemoryLayout<sf_block>.stride * Int(SF_WAYS.rawValue))
        let stop = Atomic(false)
        let answers = Shared()
        let torn = Shared()
        concurrently(
            2,
            {
                for round in 0..<rounds * 20 {
                    if round >= rounds, !untilTorn, answers.value > 1000 { break }
                    write(
                        cache, UInt64(round % 3 + 1), UInt64(round + 1),
                        UInt8(truncatingIfNeeded: round))
                    if untilTorn, torn.value > 0 { break }
                }
                stop.store(true, ordering: .sequentiallyConsistent)
            },
            {
                while !stop.load(ordering: .sequentiallyConsistent) {
                    for node in [1, 2, 3] as [UInt64] {
                        guard let bytes = try? cache.read(node, 0, 4096), let first = bytes.first
                        else { continue }
                        answers.add(1)
                        if !bytes.allSatisfy({ $0 == first }) { torn.add(1) }
                    }
                }
            })
        return (answers.value, torn.value)
    }

    @Test func noTornBlock() throws {
        let result = try race(rounds: 300_000) { cache, node, version, fill in
            cache.publishFile(node, [UInt8](repeating: fill, count: 4096), at: version)
        }
        #expect(result.answers > 1000)
        #expect(result.torn == 0)
    }

    /// The twin: without the block's lock, and under a version that does not change.
    @Test func withoutTheLockBlocksTear() throws {
        let result = try race(rounds: 300_000, untilTorn: true) { cache, node, _, fill in
            cache.publishFile(node, [fill], at: 1, skippingData: true)
            cache.publishAttributes(
                nodeid: node, attributes: file(size: 4096), versions: Versions(at: 1),
                in: cache.epoch)
            let bytes = [UInt8](repeating: fill, count: 4096)
            _ = sf_block_write(cache.blocks + Int(node), node, 0, 1, bytes, 2048)
            usleep(1)
            _ = sf_block_write(cache.blocks + Int(node), node, 0, 1, bytes, 4096)
        }
        #expect(result.torn > 0)
    }
}
