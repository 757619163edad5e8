import Glibc
import Syscall
import Testing

@testable import FuseSession

@Suite struct LatencyTests {
    @Test func bucketsAreSeamless() {
        #expect(LatencyBuckets.durations(in: 0) == 0...0)
        for index in 1..<LatencyBuckets.count {
            let durations = LatencyBuckets.durations(in: index)
            #expect(durations.lowerBound == LatencyBuckets.durations(in: index - 1).upperBound + 1)
            #expect(LatencyBuckets.index(durations.lowerBound) == index)
            #expect(LatencyBuckets.index(durations.upperBound) == index)
            // Known to 1/16.
            #expect(UInt64(durations.count - 1) <= durations.lowerBound / 16)
        }
    }

    @Test(arguments: [UInt64(1) << 36 - 1, 1 << 36, .max])
    func whatIsTooLongIsInTheLast(nanoseconds: UInt64) {
        #expect(LatencyBuckets.index(nanoseconds) == LatencyBuckets.count - 1)
    }

    /// Replies, errors and entries alike, and each once.
    @Test func requestsAreTimed() throws {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: LatencyBuckets.byteCount, alignment: 8)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: LatencyBuckets.byteCount)
        defer { memory.deallocate() }
        let latency = LatencyBuckets(memory: memory)
        let start = Syscall.monotonicNanoseconds()
        do {
            let channel = try RawChannel(StubFileSystem(), latency: latency)
            _ = channel.ask(.lookup, body: Bytes().name("x"))
            _ = channel.ask(.lookup, body: Bytes().name("missing"))
            _ = channel.ask(.getattr, node: 42, body: Bytes().u32(0).u32(0).u64(0))
            _ = channel.ask(.forget, node: 42, body: Bytes().u64(3))
        }
        let passed = Syscall.monotonicNanoseconds() - start
        let used = (0..<LatencyBuckets.count).filter { latency[$0] > 0 }
        #expect(used.reduce(0) { $0 + latency[$1] } == 3)
        for index in used {
            #expect((100...passed).overlaps(LatencyBuckets.durations(in: index)))
        }
    }
}
