import CShortfuseABI
import FuseSession
import Glibc
import SystemPackage
import Testing

@testable import KernelCache

/// When the kernel may open a directory by itself: while it has the listing, and only then.
@Suite struct ListingTests {
    private let bench: Bench

    init() throws { bench = try Bench() }

    /// OPENDIR by the daemon, READDIR to the end, RELEASEDIR. Returns OPENDIR's flags (FOPEN_*).
    @discardableResult
    private func list(_ node: UInt64) throws -> UInt32 {
        let opened = try #require(
            bench.channel.ask(.opendir, node: node, body: Bytes().u32(0).u32(0)))
        let handle = opened.body.u64(at: 0)
        var offset: UInt64 = 0
        while true {
            let body = Bytes().u64(handle).u64(offset).u32(4096).u32(0).u64(0).u32(0).u32(0)
            let reply = try #require(bench.channel.ask(.readdir, node: node, body: body))
            if reply.body.isEmpty { break }
            offset = Self.lastOffset(in: reply.body)
        }
        _ = bench.channel.ask(
            .releasedir, node: node, body: Bytes().u64(handle).u32(0).u32(0).u64(0))
        return opened.body.u32(at: 8)
    }

    /// Of struct fuse_dirent: ino, off, namelen, type, name padded to 8 bytes.
    private static func lastOffset(in entries: [UInt8]) -> UInt64 {
        var at = 0
        var last: UInt64 = 0
        while at + 24 <= entries.count {
            last = entries.u64(at: at + 8)
            at += (24 + Int(entries.u32(at: at + 16)) + 7) & ~7
        }
        return last
    }

    private func isAnswered(_ node: UInt64) throws -> Bool {
        try !bench.cache.open(node, opcode: FUSE_OPENDIR).isPass
    }

    private func makeDirectory(_ parent: UInt64, _ name: String) throws -> UInt64 {
        try bench.mirror.makeDirectory(
            bench.context, parent: parent, name: name, mode: 0o755
        ).nodeID
    }

    @Test func aWholeListing() throws {
        _ = bench.getattr(1)
        #expect(try !isAnswered(1), "nobody has listed it")
        try list(1)
        #expect(try isAnswered(1))
        _ = try makeDirectory(1, "new")
        #expect(try !isAnswered(1), "another name since")
        try list(1)
        #expect(try isAnswered(1))
    }

    /// The kernel keeps its listing, so the daemon is asked to open, but never to list.
    @Test func anotherModeIsTriedOnce() throws {
        try list(1)
        var changes = AttributeChanges()
        changes.mode = 0o750
        _ = try bench.mirror.setAttributes(bench.context, of: 1, handle: nil, to: changes)
        #expect(try !isAnswered(1), "the daemon is to try whether it may")
        let opened = try #require(
            bench.channel.ask(.opendir, node: 1, body: Bytes().u32(0).u32(0)))
        #expect(opened.body.u32(at: 8) & UInt32(FOPEN_KEEP_CACHE) != 0)
        #expect(try isAnswered(1), "without another listing")
    }

    /// ".." has another inode number then, which no modification time tells of.
    @Test func aMovedDirectoryIsListedAnew() throws {
        let from = try makeDirectory(1, "from")
        let to = try makeDirectory(1, "to")
        let moved = try makeDirectory(from, "moved")
        try list(moved)
        #expect(try isAnswered(moved))
        try bench.mirror.rename(
            bench.context, parent: from, name: "moved", newParent: from, newName: "renamed",
            flags: 0)
        _ = bench.getattr(moved)
        #expect(try isAnswered(moved), "in the same place")
        try bench.mirror.rename(
            bench.context, parent: from, name: "renamed", newParent: to, newName: "renamed",
            flags: 0)
        _ = bench.getattr(moved)
        #expect(try !isAnswered(moved))
        #expect(try list(moved) & UInt32(FOPEN_KEEP_CACHE) == 0, "the kernel must drop its own")
        #expect(try isAnswered(moved))
    }
}
