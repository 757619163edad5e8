import FuseSession
import Glibc
import SystemPackage
import Testing

@Suite struct RawRequestTests {
    let fileSystem = StubFileSystem()

    /// struct fuse_attr of `StubFileSystem.attributes`.
    static let attributes = Bytes().u64(0x1111).u64(0x2222).u64(0x33).u64(0x4444).u64(0x5555)
        .u64(0x6666).u32(4).u32(5).u32(6).u32(UInt32(S_IFREG | 0o644)).u32(7).u32(0x88).u32(0x99)
        .u32(0).u32(4096).u32(0).bytes

    @Test func initNegotiatesTheProtocol() throws {
        let channel = try RawChannel(fileSystem, initializes: false)
        let reply = try #require(channel.ask(.initialize, body: RawChannel.initRequest))
        #expect(reply.error == 0)
        #expect(reply.body.u32(at: 0) == 7)
        #expect(reply.body.u32(at: 4) >= 31)
    }

    @Test func nothingIsServedBeforeInit() throws {
        let channel = try RawChannel(fileSystem, initializes: false)
        #expect(channel.ask(.lookup, body: Bytes().name("x"))?.error == -EIO)
    }

    @Test func lookupRepliesWithAnEntry() throws {
        let reply = try #require(
            try RawChannel(fileSystem).ask(.lookup, body: Bytes().name("x")))
        // struct fuse_entry_out: nodeid, generation, timeouts in seconds, then in nanoseconds.
        let expected = Bytes().u64(42).u64(0).u64(1).u64(0).u32(500_000_000).u32(250_000_000)
        #expect(reply.error == 0)
        #expect(reply.length == 144)
        #expect(reply.body == expected.bytes + Self.attributes)
    }

    @Test func lookupRepliesWithErrors() throws {
        let channel = try RawChannel(fileSystem)
        let reply = try #require(channel.ask(.lookup, body: Bytes().name("missing")))
        #expect(reply.error == -ENOENT)
        #expect(reply.length == 16)
    }

    @Test func negativeEntriesHaveNodeidZero() throws {
        let reply = try #require(
            try RawChannel(fileSystem).ask(.lookup, body: Bytes().name("negative")))
        #expect(reply.error == 0)
        #expect(reply.body.u64(at: 0) == 0)
        #expect(reply.body.u64(at: 16) == 2)
    }

    @Test func getattrRepliesWithAttributes() throws {
        // struct fuse_getattr_in: flags, dummy, fh. struct fuse_attr_out: timeout, dummy, attr.
        let reply = try #require(
            try RawChannel(fileSystem).ask(.getattr, node: 42, body: Bytes().u32(0).u32(0).u64(0)))
        #expect(reply.error == 0)
        #expect(reply.body == Bytes().u64(0).u32(0).u32(0).bytes + Self.attributes)
    }

    @Test func readRepliesWithBytes() throws {
        // struct fuse_read_in: fh, offset, size, flags, lock owner, file flags, padding.
        let body = Bytes().u64(77).u64(0).u32(4096).u32(0).u64(0).u32(0).u32(0)
        let reply = try #require(try RawChannel(fileSystem).ask(.read, node: 42, body: body))
        #expect(reply.body == [1, 2, 3])
    }

    /// What the file's flags say now counts, but not for pages of a mapping (FUSE_WRITE_CACHE).
    @Test(arguments: [(O_APPEND, 0, true), (O_APPEND, 1, false), (0, 0, false), (0, 1, false)])
    func writesSayWhetherTheyAppend(_ flags: Int32, _ writeFlags: UInt32, _ appends: Bool) throws {
        // struct fuse_write_in: fh, offset, size, write flags, lock owner, file flags, padding.
        let body = Bytes().u64(77).u64(5).u32(3).u32(writeFlags).u64(0)
            .u32(UInt32(flags | O_RDWR)).u32(0)
        let reply = try #require(
            try RawChannel(fileSystem).ask(
                .write, node: 42, body: Bytes(bytes: body.bytes + [1, 2, 3])))
        #expect(reply.body == Bytes().u32(3).u32(0).bytes)
        #expect(fileSystem.written.withLock { $0 } == [appends])
    }

    @Test func anImpossibleReadSizeIsRefused() throws {
        let body = Bytes().u64(77).u64(0).u32(.max).u32(0).u64(0).u32(0).u32(0)
        let reply = try #require(try RawChannel(fileSystem).ask(.read, node: 42, body: body))
        #expect(reply.error == -EINVAL)
    }

    @Test func readdirRepliesWithEntries() throws {
        let body = Bytes().u64(0).u64(0).u32(4096).u32(0).u64(0).u32(0).u32(0)
        let reply = try #require(try RawChannel(fileSystem).ask(.readdir, body: body))
        // struct fuse_dirent: ino, off, namelen, type (DT_DIR), name padded to 8 bytes.
        let expected = Bytes().u64(5).u64(9).u32(2).u32(4).bytes + [0x61, 0x62, 0, 0, 0, 0, 0, 0]
        #expect(reply.body == expected)
    }

    @Test func extendedAttributesComeBySizeAndByValue() throws {
        let channel = try RawChannel(fileSystem)
        func ask(_ size: UInt32) -> Reply? {
            channel.ask(.getxattr, node: 42, body: Bytes().u32(size).u32(0).name("user.x"))
        }
        #expect(ask(0)?.body == Bytes().u32(3).u32(0).bytes)
        #expect(ask(3)?.body == [7, 8, 9])
        #expect(ask(2)?.error == -ERANGE)
    }

    /// Opcodes: one that the stub lacks, ones that nobody has, and numbers that do not exist.
    @Test(arguments: [UInt32(Opcode.statfs.rawValue), 37, 39, 40, 7, 63, 64, 4711, .max])
    func whatIsNotThereIsENOSYS(_ opcode: UInt32) throws {
        let channel = try RawChannel(fileSystem)
        channel.send(opcode, node: 42, body: Bytes().u64(0).u64(0).u64(0).u64(0).u64(0))
        let reply = try #require(channel.receive())
        #expect(opcode == 17 ? reply.error == 0 || reply.error == -ENOSYS : reply.error == -ENOSYS)
    }

    @Test func forgetHasNoReply() throws {
        let channel = try RawChannel(fileSystem)
        #expect(channel.ask(.forget, node: 42, body: Bytes().u64(3)) == nil)
        let batch = Bytes().u32(2).u32(0).u64(42).u64(4).u64(43).u64(1)
        #expect(channel.ask(.batchForget, node: 0, body: batch) == nil)
        #expect(fileSystem.forgotten.withLock { $0 } == [42: 7, 43: 1])
    }

    @Test func requestsAreCounted() throws {
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: RequestCounters.byteCount, alignment: 8)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: RequestCounters.byteCount)
        defer { memory.deallocate() }
        let counters = RequestCounters(memory: memory)
        let channel = try RawChannel(fileSystem, counters: counters)
        for _ in 0..<3 { _ = channel.ask(.lookup, body: Bytes().name("x")) }
        _ = channel.ask(.lookup, body: Bytes().name("missing"))
        _ = channel.ask(.forget, node: 42, body: Bytes().u64(3))
        _ = channel.ask(.poll, body: Bytes().u64(0).u64(0).u64(0))
        #expect(counters[.initialize] == 1)
        #expect(counters[.lookup] == 4)
        #expect(counters[.forget] == 1)
        #expect(counters[.poll] == 1)
        #expect(counters[.getattr] == 0)
    }

    // MARK: Replies that do not arrive

    @Test func anUndeliveredLookupIsForgotten() throws {
        let channel = try RawChannel(fileSystem)
        channel.hangUp()
        channel.send(UInt32(Opcode.lookup.rawValue), body: Bytes().name("x"))
        channel.send(UInt32(Opcode.lookup.rawValue), body: Bytes().name("negative"))
        #expect(fileSystem.forgotten.withLock { $0 } == [42: 1])
    }

    @Test func anUndeliveredCreateIsReleasedAndForgotten() throws {
        let channel = try RawChannel(fileSystem)
        channel.hangUp()
        let body = Bytes().u32(1).u32(0o644).u32(0).u32(0).name("x")
        channel.send(UInt32(Opcode.create.rawValue), body: body)
        #expect(fileSystem.forgotten.withLock { $0 } == [42: 1])
        #expect(fileSystem.released.withLock { $0 } == [78])
    }

    @Test func anUndeliveredOpenIsReleased() throws {
        let channel = try RawChannel(fileSystem)
        channel.hangUp()
        channel.send(UInt32(Opcode.open.rawValue), node: 42, body: Bytes().u32(0).u32(0))
        #expect(fileSystem.released.withLock { $0 } == [77])
    }

    @Test func anUndeliveredReaddirplusIsForgotten() throws {
        let channel = try RawChannel(fileSystem)
        channel.hangUp()
        let body = Bytes().u64(0).u64(0).u32(4096).u32(0).u64(0).u32(0).u32(0)
        channel.send(UInt32(Opcode.readdirplus.rawValue), body: body)
        #expect(fileSystem.forgotten.withLock { $0 } == [42: 1, 43: 1])
    }
}
