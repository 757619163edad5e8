import CShortfuseABI
import Glibc
import Testing

@testable import KernelCache

/// The programs through BPF_PROG_RUN: hit, miss, malformed. Needs root; no module, no mount.
@Suite struct AnswerTests {
    struct Name: CustomTestStringConvertible {
        let testDescription: String
        let bytes: [UInt8]
        init(_ description: String, _ bytes: some Sequence<UInt8>) {
            testDescription = description
            self.bytes = Array(bytes)
        }
    }

    static let names = [
        Name("1 byte", "a".utf8),
        Name("README.md", "README.md".utf8),
        Name("32 bytes, the last of the short", repeatElement(0x78, count: 32)),
        Name("33 bytes, the first of the long", repeatElement(0x78, count: 33)),
        Name("255 bytes", repeatElement(0x79, count: 255)),
        Name("not UTF-8", [0xff, 0xfe, 0x80, 0x01]),
        Name("255 bytes, not UTF-8", repeatElement(0xff, count: 255)),
    ]

    @Test(arguments: names) func lookupHit(_ name: Name) throws {
        let name = name.bytes
        let cache = try makeCache()
        cache.publishAttributes(nodeid: 7, attributes: attributes(70))
        cache.publishName(1, name, 7)
        let entry = try #require(try cache.lookup(1, name).reply)
        #expect(entry.nodeid == 7)
        #expect(entry.generation == 0)
        #expect(entry.entry_valid == 0 && entry.entry_valid_nsec == 0)
        #expect(entry.attr_valid == 0 && entry.attr_valid_nsec == 0)
        #expect(isWhole(entry.attr) && entry.attr.ino == 70)
        #expect(cache.harvest(nodeid: 7, retire: false) == 1)
    }

    @Test(arguments: names) func lookupMiss(_ name: Name) throws {
        let name = name.bytes
        let cache = try makeCache()
        cache.publishAttributes(nodeid: 7, attributes: attributes(70))
        cache.publishName(1, name, 7)
        #expect(try cache.lookup(2, name).isPass, "another parent")
        #expect(try cache.lookup(1, name.dropLast() + [0x21]).isPass, "another name")
        if name.count < 255 { #expect(try cache.lookup(1, name + [0x21]).isPass, "a longer name") }
        if name.count > 1 { #expect(try cache.lookup(1, name.dropLast()).isPass, "a prefix") }
        cache.revokeName(1, name)
        #expect(try cache.lookup(1, name).isPass, "revoked")
        #expect(cache.harvest(nodeid: 7, retire: false) == 0, "a pass grants nothing")
    }

    @Test(arguments: names) func absentName(_ name: Name) throws {
        let name = name.bytes
        let cache = try makeCache()
        cache.publishName(1, name, 0)
        #expect(try cache.lookup(1, name).error == -ENOENT)
        #expect(try cache.lookup(2, name).isPass, "another parent")
        cache.revokeName(1, name)
        #expect(try cache.lookup(1, name).isPass, "revoked")
        cache.publishName(1, name, 0)
        cache.publishAttributes(nodeid: 7, attributes: attributes(70))
        cache.publishName(1, name, 7)
        #expect(try cache.lookup(1, name).reply?.nodeid == 7, "created")
    }

    @Test func lookupNeedsAttributes() throws {
        let cache = try makeCache()
        cache.publishName(1, [0x61], 7)
        #expect(try cache.lookup(1, [0x61]).isPass)
        cache.publishAttributes(nodeid: 7, attributes: attributes(70))
        #expect(!(try cache.lookup(1, [0x61]).isPass))
        cache.revokeAttributes(nodeid: 7)
        #expect(try cache.lookup(1, [0x61]).isPass)
    }

    @Test func getattr() throws {
        let cache = try makeCache()
        #expect(try cache.getattr(1).isPass)
        cache.publishAttributes(nodeid: 1, attributes: attributes(10))
        let reply = try #require(try cache.getattr(1).reply)
        #expect(isWhole(reply.attr) && reply.attr.ino == 10)
        #expect(reply.attr_valid == 0 && reply.attr_valid_nsec == 0 && reply.dummy == 0)
        cache.publishAttributes(nodeid: 1, attributes: attributes(11))
        #expect(try cache.getattr(1).reply?.attr.ino == 11)
        cache.revokeAttributes(nodeid: 1)
        #expect(try cache.getattr(1).isPass)
        // 65 shares slot 1 of 64, and 0 marks an empty one.
        #expect(try cache.getattr(65).isPass)
        #expect(try cache.getattr(0).isPass)
        #expect(try cache.getattr(.max).isPass)
    }

    @Test func malformedIsRefused() throws {
        let cache = try makeCache()
        cache.publishAttributes(nodeid: 1, attributes: attributes(10))
        cache.publishName(1, [0x61], 1)
        #expect(try cache.lookup(1, []).isPass, "an empty name")
        #expect(try cache.lookup(1, .init(repeating: 0x61, count: 256)).isPass, "too long")
        #expect(try cache.lookup(1, [0x61]) { $0.in_size = .max }.isPass)
        #expect(try cache.lookup(1, [0x61]) { $0.in_size = 0 }.isPass)
        #expect(try cache.lookup(1, [0x61]) { $0.out_size = 8 }.isPass)
        #expect(try cache.lookup(1, [0x61]) { $0.out_size = .max }.isPass)
        #expect(try cache.lookup(1, [0x61]) { $0.opcode = FUSE_READ.rawValue }.isPass)
        #expect(try cache.getattr(1) { $0.in_size = 8 }.isPass)
        #expect(try cache.getattr(1) { $0.out_size = 8 }.isPass)
        #expect(try cache.getattr(1) { $0.opcode = FUSE_READ.rawValue }.isPass)
        let counters = try cache.counters()
        #expect(counters[FUSE_LOOKUP.rawValue]?.refused == 7)
        #expect(counters[FUSE_GETATTR.rawValue]?.refused == 3)
        #expect(counters[FUSE_LOOKUP.rawValue]?.answered == 0)
    }

    @Test func contextSizes() throws {
        let cache = try makeCache()
        cache.publishAttributes(nodeid: 1, attributes: attributes(10))
        let whole = MemoryLayout<sf_ctx>.size
        for size in [0, 8, 31, 32, whole - 8] {
            let context = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
            defer { context.deallocate() }
            context.initializeMemory(as: UInt8.self, repeating: 0)
            #expect(throws: (any Error).self, "\(size) bytes must not run") {
                try cache.run(opcode: FUSE_LOOKUP.rawValue, context: context)
            }
        }
        let context = UnsafeMutableRawBufferPointer.allocate(byteCount: 65535, alignment: 8)
        defer { context.deallocate() }
        context.initializeMemory(as: UInt8.self, repeating: 0xff)
        #expect(try cache.run(opcode: FUSE_LOOKUP.rawValue, context: context) == SF_PASS.rawValue)
        #expect(context.suffix(from: whole).allSatisfy { $0 == 0xff }, "wrote past its context")
    }

    @Test func countersCount() throws {
        let cache = try makeCache()
        cache.publishAttributes(nodeid: 1, attributes: attributes(10))
        for _ in 0..<5 { _ = try cache.getattr(1) }
        for _ in 0..<3 { _ = try cache.getattr(2) }
        let counters = try cache.counters()
        #expect(
            counters == [
                FUSE_GETATTR.rawValue: OpcodeCounters(answered: 5, passed: 3, refused: 0)
            ])
    }

    @Test(arguments: [0, 1, 63, 65, 100, 1 << 25]) func badSlotCounts(_ slots: Int) {
        #expect(throws: KernelCacheError.self) { try makeCache(slots: slots) }
    }
}
