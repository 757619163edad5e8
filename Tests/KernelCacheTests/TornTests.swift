import CShortfuseABI
import Glibc
import Synchronization
import Testing

@testable import KernelCache

/// An answer is one state whole, whatever is written meanwhile.
@Suite struct TornTests {
    /// Rewrites and recycles slots and names while programs read; returns what was read. On a busy
    /// machine the writer may have had its rounds before the reader had its time: so it goes on until
    /// there are enough answers, or a torn one if that is asked for, but not for ever.
    private func race(
        _ cache: KernelCache, rounds: UInt64, untilTorn: Bool = false,
        publish: @escaping @Sendable (KernelCache, UInt64, UInt64) -> Void
    ) -> (answers: UInt64, torn: UInt64, wrong: UInt64) {
        let stop = Atomic(false)
        let answers = Shared()
        let torn = Shared()
        let wrong = Shared()
        concurrently(
            2,
            {
                // Nodes n and n + 64 share a slot; both names come and go and recycle elements.
                for round in 0..<rounds * 20 {
                    if untilTorn, torn.value > 0 { break }
                    if round >= rounds, !untilTorn, answers.value > 1000 { break }
                    let node = 1 + (round & 1) * 64
                    publish(cache, node, round << 8 | node)
                    if round & 15 != 0 { continue }
                    cache.revokeName(9, [UInt8(node)])
                    cache.publishName(9, [UInt8(node)], node)
                }
                stop.store(true, ordering: .sequentiallyConsistent)
            },
            {
                while !stop.load(ordering: .sequentiallyConsistent) {
                    for node in [1, 65] as [UInt64] {
                        let attr = try? cache.getattr(node).reply?.attr
                        let entry = try? cache.lookup(9, [UInt8(node)]).reply
                        for attr in [attr, entry?.attr].compactMap({ $0 }) {
                            answers.add(1)
                            if !isWhole(attr) { torn.add(1) }
                            if attr.ino & 0xff != node { wrong.add(1) }
                        }
                        if let entry, entry.nodeid != node { wrong.add(1) }
                    }
                }
            })
        return (answers.value, torn.value, wrong.value)
    }

    @Test func noTornAnswer() throws {
        let result = race(try makeCache(slots: 64), rounds: 500_000) { cache, node, seed in
            cache.publishAttributes(nodeid: node, attributes: attributes(seed))
        }
        #expect(result.answers > 1000)
        #expect(result.torn == 0)
        #expect(result.wrong == 0)
    }

    /// A writer slow enough to be caught in the middle: half the fields, a pause, the rest.
    private func writeSlowly(_ cache: KernelCache, _ node: UInt64, _ seed: UInt64, locked: Bool) {
        let slot = cache.slots + Int(node & 63)
        if locked { sf_seq_lock(&slot.pointee.seq) }
        slot.pointee.attr.size = seed
        usleep(1)
        withUnsafePointer(to: attributes(seed)) { sf_slot_write(slot, node, $0, 1, 0, 0, 0) }
        if locked { sf_seq_unlock(&slot.pointee.seq) }
    }

    @Test func slowWriterDoesNotTear() throws {
        let result = race(try makeCache(slots: 64), rounds: 20_000) {
            writeSlowly($0, $1, $2, locked: true)
        }
        #expect(result.answers > 1000)
        #expect(result.torn == 0)
        #expect(result.wrong == 0)
    }

    /// The twin: the same without the sequence lock must show torn answers.
    @Test func withoutTheLockAnswersTear() throws {
        let result = race(try makeCache(slots: 64), rounds: 100_000, untilTorn: true) {
            writeSlowly($0, $1, $2, locked: false)
        }
        #expect(result.torn > 0)
    }
}
