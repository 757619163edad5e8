import CShortfuseABI
import Glibc
import Testing

@testable import KernelCache

/// READ through BPF_PROG_RUN: hit, miss, ends of files, eviction. Needs root.
@Suite struct ReadTests {
    static let sizes = [0, 1, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 10_000, 65_536]

    @Test(arguments: sizes) func everyRange(_ size: Int) throws {
        let cache = try makeCache()
        let bytes = pattern(size, size)
        cache.publishFile(7, bytes, at: 5)
        let edges = [
            0, 1, 1000, 1024, 3000, 4095, 4096, 4097, 8191, 8192, size - 1, size, size + 1,
        ]
        for offset in edges where offset >= 0 {
            for count in [1, 100, 1024, 1025, 4096, 5000, 131_072] {
                let got = try #require(try cache.read(7, UInt64(offset), count))
                #expect(got == Array(bytes.dropFirst(offset).prefix(count)), "\(offset) \(count)")
            }
        }
        #expect(try cache.read(7, UInt64(Int64.max), 1) == [])
    }

    @Test func aHoleIsZeros() throws {
        let cache = try makeCache()
        let bytes = [UInt8](repeating: 0, count: 9000)
        cache.publishFile(7, pattern(1, 9000), at: 1)
        cache.publishFile(7, bytes, at: 2)
        #expect(try cache.read(7, 0, 9000) == bytes)
    }

    @Test func misses() throws {
        let cache = try makeCache()
        let bytes = pattern(1, 10_000)
        #expect(try cache.read(7, 0, 100) == nil, "nothing published")
        cache.publishFile(7, bytes, at: 5, skippingData: true)
        #expect(try cache.read(7, 0, 100) == nil, "attributes only")
        #expect(try cache.read(7, 10_000, 100) == [], "the end needs no data")
        cache.publishFile(7, bytes, at: 5)
        #expect(try cache.read(7, 0, 100) != nil)
        #expect(try cache.read(71, 0, 100) == nil, "another node, of the same slot")
        #expect(try cache.read(8, 0, 100) == nil, "another node")
        cache.publishFile(7, bytes, at: 6, skippingData: true)
        #expect(try cache.read(7, 0, 100) == nil, "data of an older version")
        cache.publishFile(7, bytes, at: 6)
        cache.revokeAttributes(nodeid: 7)
        #expect(try cache.read(7, 0, 100) == nil, "revoked")
        #expect(try cache.read(7, 20_000, 100) == nil, "revoked, behind the end")
        cache.publishFile(7, bytes, at: 6, skippingData: true)
        #expect(try cache.read(7, 0, 100) != nil, "the same version again")
        #expect(try cache.read(0, 0, 100) == nil)
    }

    @Test func blocksOfTwoVersionsDoNotMix() throws {
        let cache = try makeCache()
        cache.publishFile(7, pattern(1, 8192), at: 1)
        let got = try cache.read(7, 0, 8192) { cache.publishFile(7, pattern(2, 8192), at: 2) }
        #expect(got == nil)
        #expect(try cache.read(7, 0, 8192) == pattern(2, 8192))
        let counters = try #require(try cache.counters()[FUSE_READ.rawValue])
        #expect(counters == OpcodeCounters(answered: 1, passed: 1, refused: 0))
    }

    @Test func malformedIsRefused() throws {
        let cache = try makeCache()
        cache.publishFile(7, pattern(1, 8192), at: 1)
        func verdict(_ change: (inout sf_read_ctx, inout fuse_read_in) -> Void) throws -> UInt32 {
            var context = sf_read_ctx()
            var input = fuse_read_in()
            context.head.nodeid = 7
            context.head.opcode = FUSE_READ.rawValue
            context.head.in_size = UInt32(MemoryLayout<fuse_read_in>.size)
            context.head.out_size = 4096
            change(&context, &input)
            withUnsafeMutableBytes(of: &context.head.in) {
                $0.storeBytes(of: input, as: fuse_read_in.self)
            }
            return try withUnsafeMutableBytes(of: &context) {
                try cache.run(opcode: FUSE_READ.rawValue, context: $0)
            }
        }
        #expect(try verdict { _, _ in } == SF_ANSWER.rawValue)
        #expect(try verdict { context, _ in context.head.opcode = 1 } == SF_PASS.rawValue)
        #expect(try verdict { context, _ in context.head.in_size = 8 } == SF_PASS.rawValue)
        #expect(try verdict { context, _ in context.head.out_size = 4097 } == SF_PASS.rawValue)
        #expect(try verdict { context, _ in context.head.out_size = .max } == SF_PASS.rawValue)
        #expect(try verdict { _, input in input.offset = 1 } == SF_PASS.rawValue, "over a border")
        #expect(try verdict { _, input in input.offset = .max } == SF_PASS.rawValue)
        #expect(try cache.counters()[FUSE_READ.rawValue]?.refused == 6)
    }

    /// C4: filled to ten times its size the map still gives right answers, and some.
    @Test func aFullMapOnlyForgets() throws {
        let cache = try makeCache(slots: 4096, dataBytes: 1 << 20)
        let files = 10 * 128
        for node in 1...files {
            cache.publishFile(UInt64(node), pattern(node, 8192), at: UInt64(node))
        }
        var hits = 0
        for node in 1...files {
            for offset in [0, 4096] {
                guard let got = try cache.read(UInt64(node), UInt64(offset), 4096) else { continue }
                hits += 1
                #expect(got == Array(pattern(node, 8192)[offset..<(offset + 4096)]))
            }
        }
        let capacity = Int(cache.dataSets) * Int(SF_WAYS.rawValue)
        #expect(hits > capacity / 2 && hits <= capacity)
    }

    /// What is used stays, though ten times as much passes through.
    @Test func hotBlocksStay() throws {
        let cache = try makeCache(slots: 4096, dataBytes: 1 << 20)
        let hot = 1...32
        for node in hot { cache.publishFile(UInt64(node), pattern(node, 4096), at: UInt64(node)) }
        var misses = 0
        for node in 1000..<3500 {
            cache.publishFile(UInt64(node), pattern(node, 4096), at: UInt64(node))
            for node in hot {
                if try cache.read(UInt64(node), 0, 4096) == nil {
                    misses += 1
                    cache.publishFile(UInt64(node), pattern(node, 4096), at: UInt64(node))
                }
            }
        }
        #expect(misses < 100)
    }

    @Test func withoutRoomForDataNothingIsKept() throws {
        let cache = try makeCache(dataBytes: 0)
        cache.publishFile(7, pattern(1, 100), at: 1)
        #expect(try cache.read(7, 0, 100) == nil)
    }
}
