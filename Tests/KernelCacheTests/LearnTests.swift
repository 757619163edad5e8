import CLibBPF
import CShortfuseABI
import Glibc
import SystemPackage
import Testing

@testable import KernelCache

/// The programs of an attached mount: what its daemon answered is answered again.
@Suite struct LearnTests {
    private static let lookup = FUSE_LOOKUP.rawValue
    private static let getattr = FUSE_GETATTR.rawValue
    /// Of a daemon whose nodeids are pointers.
    private static let node: UInt64 = 0x7f12_3456_7890

    private func makeObject(_ policy: sf_policy, ttl: UInt64 = 0) throws -> BPFObject {
        try BPFObject(
            config: sf_config(
                slot_bits: 6, data_sets: 1, file_max: 0, entry_valid: 0, attr_valid: 0,
                settle_ticks: 0, policy: policy.rawValue, ttl_ns: ttl), names: 1024)
    }

    private func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    private func run<Context>(
        _ programs: [(opcode: UInt32, fd: CInt)], _ opcode: UInt32, _ context: inout Context
    ) throws -> UInt32 {
        let program = try #require(programs.first { $0.opcode == opcode })
        var verdict: UInt32 = 0
        let error = withUnsafeMutableBytes(of: &context) {
            shim_prog_run(program.fd, $0.baseAddress, UInt32($0.count), &verdict)
        }
        try #require(error == 0)
        return verdict
    }

    private func question(_ name: String) -> sf_ctx {
        var context = sf_ctx()
        context.nodeid = 1
        context.opcode = Self.lookup
        let bytes = Array(name.utf8) + [0]
        context.in_size = UInt32(bytes.count)
        context.out_size = UInt32(MemoryLayout<fuse_entry_out>.size)
        withUnsafeMutableBytes(of: &context.in) { $0.copyBytes(from: bytes) }
        return context
    }

    /// Teaches the reply to LOOKUP of `name`, asked for when `seq` changes had been. Returns the verdict.
    @discardableResult private func teach(
        _ object: BPFObject, _ name: String, seq: UInt64, asked: UInt64? = nil,
        _ reply: (inout fuse_entry_out) -> Void
    ) throws -> UInt32 {
        var context = sf_learn_ctx()
        context.head = question(name)
        context.head.cookie = seq
        context.asked = asked ?? now()
        var entry = fuse_entry_out()
        reply(&entry)
        withUnsafeMutableBytes(of: &context.head.out) { out in
            withUnsafeBytes(of: entry) { out.copyBytes(from: $0) }
        }
        return try run(object.learners, Self.lookup, &context)
    }

    /// Names that the map has.
    private func count(_ object: BPFObject) -> Int {
        var key = sf_name()
        var count = 0
        var error = bpf_map_get_next_key(object.maps.names, nil, &key)
        while error == 0 {
            count += 1
            var next = sf_name()
            error = bpf_map_get_next_key(object.maps.names, &key, &next)
            key = next
        }
        return count
    }

    private func file(_ entry: inout fuse_entry_out) {
        entry.nodeid = Self.node
        entry.generation = 99
        entry.attr.ino = 7
        entry.attr.size = 4711
        entry.attr.nlink = 1
        entry.attr.mode = 0o100644
    }

    private func entry(_ context: sf_ctx) -> fuse_entry_out {
        withUnsafeBytes(of: context.out) { $0.loadUnaligned(as: fuse_entry_out.self) }
    }

    @Test(arguments: ["name", String(repeating: "n", count: 200)])
    func whatWasLearnedIsAnswered(name: String) throws {
        let object = try makeObject(SF_POLICY_EXCLUSIVE)
        var asked = question(name)
        #expect(try run(object.programs, Self.lookup, &asked) == SF_PASS.rawValue)
        try teach(object, name, seq: 12, file)
        asked = question(name)
        #expect(try run(object.programs, Self.lookup, &asked) == SF_ANSWER.rawValue)
        #expect(asked.error == 0)
        // The module judges by it.
        #expect(asked.cookie == 12)
        #expect(entry(asked).nodeid == Self.node)
        // With another number the kernel gives the inode up: EIO for whoever has it open.
        #expect(entry(asked).generation == 99)
        #expect(entry(asked).attr.size == 4711)
        // The daemon said 0.
        #expect(entry(asked).entry_valid == 0 && entry(asked).attr_valid == 0)
    }

    /// Their numbers are any, and fall on the same places.
    @Test func nodesAreNotInEachOthersWay() throws {
        let object = try makeObject(SF_POLICY_EXCLUSIVE)
        let first = setOf(Self.node)
        let nodes = Array(
            (Self.node...).lazy.filter { setOf($0) == first }.prefix(Int(SF_SLOT_WAYS) + 1))
        for (index, node) in nodes.enumerated() {
            try teach(object, "name\(index)", seq: 1) {
                file(&$0)
                $0.nodeid = node
            }
        }
        let answered = try nodes.indices.count { index in
            var asked = question("name\(index)")
            return try run(object.programs, Self.lookup, &asked) == SF_ANSWER.rawValue
        }
        // The last has taken the place of one.
        #expect(answered == Int(SF_SLOT_WAYS))
    }

    /// Of slots, that a node may be in.
    private func setOf(_ node: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: (node &* 0x9E37_79B9_7F4A_7C15) >> 40) % 64
            / UInt32(SF_SLOT_WAYS)
    }

    @Test func theOlderOfNameAndAttributesCounts() throws {
        let object = try makeObject(SF_POLICY_EXCLUSIVE)
        try teach(object, "one", seq: 5, file)
        try teach(object, "two", seq: 9, file)
        var asked = question("one")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_ANSWER.rawValue)
        #expect(asked.cookie == 5)
    }

    @Test func aNameThatDoesNotExist() throws {
        let object = try makeObject(SF_POLICY_EXCLUSIVE)
        try teach(object, "none", seq: 1) { $0.nodeid = 0 }
        var asked = question("none")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_ANSWER.rawValue)
        #expect(asked.error == -ENOENT)
    }

    /// mergerfs gives a second, and nothing for names that do not exist.
    @Test func theKernelKeepsNamesThatExist() throws {
        let object = try makeObject(SF_POLICY_EXCLUSIVE)
        try teach(object, "name", seq: 1) {
            file(&$0)
            $0.entry_valid = 100
            $0.attr_valid = 100
        }
        try teach(object, "none", seq: 1) { $0.nodeid = 0 }
        var asked = question("name")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_ANSWER.rawValue)
        #expect(entry(asked).entry_valid == 100 && entry(asked).attr_valid == 100)
        try teach(object, "other", seq: 1, file)
        asked = question("name")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_ANSWER.rawValue)
        #expect(entry(asked).entry_valid == 0)
    }

    @Test func timesEnd() throws {
        let second: UInt64 = 1_000_000_000
        let object = try makeObject(SF_POLICY_TTL, ttl: 5 * second)
        try teach(object, "fresh", seq: 1, file)
        var asked = question("fresh")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_ANSWER.rawValue)
        try teach(object, "old", seq: 1, asked: now() - 6 * second, file)
        asked = question("old")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_PASS.rawValue)
    }

    @Test func ownIsTheDaemonsTime() throws {
        let object = try makeObject(SF_POLICY_OWN)
        try teach(object, "kept", seq: 1) {
            file(&$0)
            $0.entry_valid = 100
            $0.attr_valid = 100
        }
        var asked = question("kept")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_ANSWER.rawValue)
        #expect(entry(asked).attr_valid == 99)
        try teach(object, "not", seq: 1, file)
        asked = question("not")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_PASS.rawValue)
    }

    /// Another name of a file may be another node for its daemon.
    @Test func hardLinksEndWithTheDaemonsTime() throws {
        let object = try makeObject(SF_POLICY_EXCLUSIVE)
        try teach(object, "link", seq: 1) {
            file(&$0)
            $0.attr.nlink = 2
        }
        var asked = question("link")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_PASS.rawValue)
    }

    @Test func whatEndsAtOnceIsNotKept() throws {
        let object = try makeObject(SF_POLICY_OWN)
        #expect(try teach(object, "name", seq: 1, file) == 0)
        #expect(count(object) == 0)
        func lasting(_ entry: inout fuse_entry_out) {
            file(&entry)
            entry.entry_valid = 100
            entry.attr_valid = 100
        }
        #expect(try teach(object, "other", seq: 1, lasting) == SF_LEARNED.rawValue)
        #expect(count(object) == 1)
    }

    @Test func whatEndsAtOnceReplacesWhatWasKept() throws {
        let object = try makeObject(SF_POLICY_OWN)
        for name in ["name", "another name of it"] {
            try teach(object, name, seq: 1) {
                file(&$0)
                $0.entry_valid = 100
                $0.attr_valid = 100
            }
        }
        #expect(try teach(object, "name", seq: 2, file) == 0)
        #expect(count(object) == 1)
        // The attributes end, too.
        var asked = question("another name of it")
        #expect(try run(object.programs, Self.lookup, &asked) == SF_PASS.rawValue)
    }
}
