import CShortfuseABI
import Glibc
import Synchronization
import Testing

@testable import KernelCache

/// Lookups granted in kernel are neither lost nor booked to another node (C7).
@Suite struct GrantTests {
    @Test func harvestTakesOnce() throws {
        let cache = try makeCache()
        cache.publishAttributes(nodeid: 5, attributes: attributes(1))
        cache.publishName(1, [0x61], 5)
        for _ in 0..<10 { _ = try cache.lookup(1, [0x61]) }
        #expect(cache.harvest(nodeid: 5, retire: false) == 10)
        #expect(cache.harvest(nodeid: 5, retire: false) == 0)
        _ = try cache.lookup(1, [0x61])
        #expect(cache.harvest(nodeid: 5, retire: true) == 1)
        #expect(try cache.lookup(1, [0x61]).isPass, "retired: grants no more")
        #expect(cache.harvest(nodeid: 5, retire: false) == 0)
    }

    @Test func revokingKeepsTheCount() throws {
        let cache = try makeCache()
        cache.publishAttributes(nodeid: 5, attributes: attributes(1))
        cache.publishName(1, [0x61], 5)
        _ = try cache.lookup(1, [0x61])
        cache.revokeAttributes(nodeid: 5)
        cache.publishAttributes(nodeid: 5, attributes: attributes(2))
        _ = try cache.lookup(1, [0x61])
        #expect(cache.harvest(nodeid: 5, retire: false) == 2)
    }

    @Test func evictionIsBooked() throws {
        let ledger = RecordingLedger()
        let cache = try makeCache(slots: 64, ledger: ledger)
        cache.publishAttributes(nodeid: 5, attributes: attributes(1))
        cache.publishName(1, [0x61], 5)
        for _ in 0..<3 { _ = try cache.lookup(1, [0x61]) }
        cache.publishAttributes(nodeid: 5 + 64 * 9, attributes: attributes(2))
        #expect(ledger.all == [.init(nodeid: 5, lookups: 3)])
        #expect(try cache.lookup(1, [0x61]).isPass, "the name is there, the attributes are not")
        #expect(cache.harvest(nodeid: 5, retire: false) == 0)
        #expect(cache.harvest(nodeid: 5 + 64 * 9, retire: false) == 0)
    }

    /// Two nodes fight for one slot while lookups of both run: what was granted, and what the daemon
    /// came to know, must agree for each.
    @Test func nothingIsLostInAFight() throws {
        let ledger = RecordingLedger()
        let cache = try makeCache(slots: 64, ledger: ledger)
        let nodes: [UInt64] = [3, 67]
        for node in nodes { cache.publishName(1, [UInt8(node)], node) }

        let stop = Atomic(false)
        let granted = nodes.map { _ in Shared() }
        let harvested = nodes.map { _ in Shared() }
        concurrently(
            2,
            {
                for round in 0..<400_000 {
                    let index = round & 1
                    cache.publishAttributes(nodeid: nodes[index], attributes: attributes(1))
                    if round % 7 == 0 {
                        harvested[index].add(
                            cache.harvest(nodeid: nodes[index], retire: round % 3 == 0))
                    }
                }
                stop.store(true, ordering: .sequentiallyConsistent)
            },
            {
                while !stop.load(ordering: .sequentiallyConsistent) {
                    for (index, node) in nodes.enumerated() {
                        if let reply = try? cache.lookup(1, [UInt8(node)]).reply {
                            granted[index].add(1)
                            if reply.nodeid != node { granted[index].add(1 << 40) }
                        }
                    }
                }
            })
        for (index, node) in nodes.enumerated() {
            let booked = ledger.all.filter { $0.nodeid == node }.reduce(0) { $0 + $1.lookups }
            let known =
                booked + harvested[index].value + cache.harvest(nodeid: node, retire: false)
            #expect(granted[index].value > 0)
            #expect(known == granted[index].value)
        }
    }
}

/// A counter for several threads.
final class Shared: Sendable {
    private let count = Atomic<UInt64>(0)
    func add(_ number: UInt64) { count.wrappingAdd(number, ordering: .relaxed) }
    var value: UInt64 { count.load(ordering: .relaxed) }
}

/// Runs the writer once and the reader on `readers` threads, and waits for all.
func concurrently(
    _ readers: Int, _ writer: @escaping @Sendable () -> Void,
    _ reader: @escaping @Sendable () -> Void
) {
    let bodies = [writer] + Array(repeating: reader, count: readers)
    let threads = bodies.map { body in
        var thread = pthread_t()
        let box = Unmanaged.passRetained(ThreadBody(body))
        let error = pthread_create(
            &thread, nil,
            { argument in
                if let argument {
                    Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
                }
                return nil
            }, box.toOpaque())
        precondition(error == 0)
        return thread
    }
    for thread in threads { pthread_join(thread, nil) }
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
