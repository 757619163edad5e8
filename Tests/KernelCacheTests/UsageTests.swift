import CShortfuseABI
import Glibc
import Logging
import Testing

@testable import KernelCache

/// What the pinned maps tell of how full they are.
@Suite(.serialized) struct UsageTests {
    private static let pins = "/sys/fs/bpf/shortfuse/usage-test-\(getpid())"

    /// - Parameter body: runs while a cache of 128 slots is pinned.
    private func withPinnedCache(
        _ body: (KernelCache, CacheGauges) throws -> Void
    ) throws {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: CacheGauges.byteCount, alignment: 8)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: CacheGauges.byteCount)
        defer { memory.deallocate() }
        let gauges = CacheGauges(memory: memory)
        let cache = try KernelCache(
            options: .init(slots: 128, names: 20_000, pinDirectory: Self.pins, gauges: gauges),
            logger: Logger(label: "test"), ledger: { _, _ in })
        defer { cache.close() }
        try body(cache, gauges)
    }

    private func usage(_ map: String) throws -> MapUsage {
        try #require(try KernelCache.usage(pinDirectory: Self.pins).first { $0.name == map })
    }

    @Test func countsSlots() throws {
        try withPinnedCache { cache, gauges in
            let empty = try usage("attrs")
            #expect(empty.entries == 0 && empty.bytes == 0)
            #expect(empty.capacity == 128 && empty.capacityBytes == 128 * 128)
            for node in 1...200 as ClosedRange<UInt64> {
                cache.publishAttributes(nodeid: node, attributes: attributes(node))
            }
            #expect(try usage("attrs").entries == 128)
            #expect(gauges[.attrsEvictions] == 72)
            #expect(gauges[.dataEvictions] == 0)
            cache.revokeAttributes(nodeid: 200)
            #expect(try usage("attrs").entries == 127)
            // Into the empty slot, and over its own: nobody gives way.
            for _ in 0..<2 {
                cache.publishAttributes(nodeid: 200, attributes: attributes(1))
            }
            #expect(gauges[.attrsEvictions] == 72)
        }
    }

    /// More than one batch, and both size classes.
    @Test(arguments: [0, 1, 10_000])
    func countsKeys(names: Int) throws {
        try withPinnedCache { cache, _ in
            for name in 0..<names { cache.publishName(1, Array("name\(name)".utf8), 7) }
            cache.publishName(1, [UInt8](repeating: 0x61, count: 40), 7)
            let short = try usage("names")
            #expect(short.entries == names && short.capacity == 20_000)
            #expect(short.bytes == names * (40 + MemoryLayout<sf_dentry>.size))
            let long = try usage("long_names")
            #expect(long.entries == 1 && long.bytes == 264 + MemoryLayout<sf_dentry>.size)
            #expect(long.capacity == 1250)
        }
    }

    /// Anybody may make a directory in the BPF file system, and would own what is pinned there.
    @Test func directoriesOfOthersAreRefused() throws {
        let foreign = "/sys/fs/bpf/shortfuse-foreign-\(getpid())"
        try withPinnedCache { _, _ in
            try #require(mkdir(foreign, 0o700) == 0 && chown(foreign, 12345, 12345) == 0)
        }
        defer { rmdir(foreign) }
        for path in [foreign + "/mount", foreign] {
            let error = #expect(throws: KernelCacheError.self) {
                try KernelCache(
                    options: .init(slots: 128, names: 20_000, pinDirectory: path),
                    logger: Logger(label: "test"), ledger: { _, _ in })
            }
            #expect(error?.description.contains("root alone") == true)
        }
    }

    /// A cache whose directory was renamed leaves the one alone that has the name now.
    @Test func ownPinsAreRemovedByWhateverName() throws {
        let aside = Self.pins + "_d1"
        func pinned() throws -> KernelCache {
            try KernelCache(
                options: .init(slots: 128, names: 64, pinDirectory: Self.pins),
                logger: Logger(label: "test"), ledger: { _, _ in })
        }
        let old = try pinned()
        try PinDirectory.rename(Self.pins, to: aside)
        #expect(try !KernelCache.usage(pinDirectory: aside).isEmpty)
        let new = try pinned()
        defer { new.close() }
        old.close()
        #expect(access(aside, F_OK) != 0)
        #expect(try !KernelCache.usage(pinDirectory: Self.pins).isEmpty)
        // Of what is not there, nothing.
        try PinDirectory.rename(aside, to: aside + "0")
    }

    @Test func missingPinsAreNamed() {
        let error = #expect(throws: KernelCacheError.self) {
            try KernelCache.usage(pinDirectory: Self.pins + "-none")
        }
        #expect(error?.description.contains("attrs") == true)
    }
}
