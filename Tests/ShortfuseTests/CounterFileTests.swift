import FuseSession
import KernelCache
import Testing

@testable import MountRegistry
@testable import shortfuse

@Suite struct CounterFileTests {
    @Test func readersSeeWhatTheDaemonCounts() throws {
        let scratch = try Scratch()
        let path: Path = "\(scratch.path)/requests"
        let file = try CounterFile(path: path)
        file.nodes.storeBytes(of: 7, as: UInt64.self)
        let words = file.nodes.assumingMemoryBound(to: UInt64.self)
        words[1 + CacheGauges.Name.dataEvictions.rawValue] = 8
        words[1 + 16 + 3] = 9
        let snapshot = CounterSnapshot(path: path)
        #expect(snapshot.requests.count == OpcodeNames.count)
        #expect(snapshot.requests.allSatisfy { $0 == 0 })
        #expect(snapshot.nodes == 7)
        #expect(snapshot[.attrsEvictions] == 0)
        #expect(snapshot[.dataEvictions] == 8)
        #expect(snapshot.latency.count == LatencyBuckets.count)
        #expect(snapshot.latency[3] == 9)
        #expect(file.latency[3] == 9)
    }

    /// The file of a daemon that counted less: what it has keeps its place.
    @Test func shorterFilesAreRead() throws {
        let scratch = try Scratch()
        let path: Path = "\(scratch.path)/requests"
        try Files.replace(path, with: [1, 0, 0, 0, 0, 0, 0, 0] + [UInt8](repeating: 2, count: 512))
        let snapshot = CounterSnapshot(path: path)
        #expect(snapshot.requests.first == 1)
        #expect(snapshot.nodes == 0x0202_0202_0202_0202)
        #expect(snapshot[.attrsEvictions] == 0)
        #expect(snapshot.latency.allSatisfy { $0 == 0 })
        #expect(CounterSnapshot(path: "\(path)-none").nodes == 0)
    }
}
