import CShortfuseABI
import Glibc
import SystemPackage
import Testing

@testable import KernelCache

/// READLINK, GETXATTR, LISTXATTR and STATFS through BPF_PROG_RUN. Needs root.
@Suite struct ReplyTests {
    static let names = ["a", "user.x", "security.capability", "user.of.thirty-one.bytes.exactly"]

    private func publish(
        _ cache: KernelCache, _ question: CachedQuestion, _ bytes: [UInt8], xattrs: UInt32 = 3
    ) throws {
        let reply = try #require(bytes.withUnsafeBytes { CachedReply($0) })
        cache.publishReply(nodeid: 7, xattrVersion: xattrs, question: question, reply: reply)
    }

    private func publishNode(_ cache: KernelCache, xattrs: UInt32 = 3) {
        cache.publishAttributes(
            nodeid: 7, attributes: file(size: 1), versions: Versions(at: 1, xattrs: xattrs),
            in: cache.epoch)
    }

    @Test(arguments: names) func xattrOfAnyLength(_ name: String) throws {
        let cache = try makeCache()
        publishNode(cache)
        let isShort = name.utf8.count < SF_REPLY_NAME.rawValue
        for size in [0, 1, 20, 96] {
            let value = pattern(size, size)
            try name.withCString { try publish(cache, .extendedAttribute($0), value) }
            guard isShort else {
                #expect(try cache.xattr(7, name, size: 100).isPass)
                continue
            }
            #expect(try cache.xattr(7, name, size: 100).reply == value)
            #expect(try cache.xattr(7, name, size: 65_536).reply == value)
            let length = try #require(try cache.xattr(7, name, size: 0).reply)
            #expect(length == withUnsafeBytes(of: UInt64(size)) { Array($0) })
            if size > 1 {
                #expect(try cache.xattr(7, name, size: size - 1).error == -ERANGE)
                #expect(try cache.xattr(7, name, size: size).reply == value)
            }
        }
        #expect(try cache.xattr(7, name + "y", size: 100).isPass)
        #expect(try cache.xattr(8, name, size: 100).isPass)
    }

    @Test func absent() throws {
        let cache = try makeCache()
        publishNode(cache)
        "user.x".withCString {
            cache.publishReply(
                nodeid: 7, xattrVersion: 3, question: .extendedAttribute($0),
                reply: CachedReply(.noData))
        }
        #expect(try cache.xattr(7, "user.x", size: 100).error == -ENODATA)
        #expect(try cache.xattr(7, "user.x", size: 0).error == -ENODATA)
        #expect(try cache.xattr(7, nil, size: 0).isPass, "the list is another question")
    }

    @Test func list() throws {
        let cache = try makeCache()
        publishNode(cache)
        let names = Array("user.a\0user.b\0".utf8)
        try publish(cache, .extendedAttributeNames, names)
        #expect(try cache.xattr(7, nil, size: 100).reply == names)
        #expect(try cache.xattr(7, nil, size: 5).error == -ERANGE)
    }

    @Test func anotherVersionIsVoid() throws {
        let cache = try makeCache()
        try "user.x".withCString { try publish(cache, .extendedAttribute($0), [1]) }
        #expect(try cache.xattr(7, "user.x", size: 9).isPass, "no attributes")
        publishNode(cache, xattrs: 4)
        #expect(try cache.xattr(7, "user.x", size: 9).isPass, "changed since")
        publishNode(cache, xattrs: 3)
        #expect(try cache.xattr(7, "user.x", size: 9).reply == [1])
        cache.revokeAttributes(nodeid: 7)
        #expect(try cache.xattr(7, "user.x", size: 9).isPass)
    }

    @Test func readLink() throws {
        let cache = try makeCache()
        publishNode(cache)
        #expect(try cache.readLink(7).isPass)
        try publish(cache, .readLink, Array("../target".utf8))
        #expect(try cache.readLink(7).reply == Array("../target".utf8))
        #expect(CachedReply(UnsafeRawBufferPointer(start: nil, count: 0)) != nil)
        #expect([UInt8](repeating: 1, count: 97).withUnsafeBytes { CachedReply($0) } == nil)
    }

    @Test func statisticsExpire() throws {
        let cache = try makeCache()
        var statistics = statvfs()
        statistics.f_blocks = 12345
        statistics.f_namemax = 255
        cache.publishReply(
            nodeid: 7, xattrVersion: 0, question: .statistics, reply: CachedReply(statistics))
        let reply = try #require(try cache.statfs(7).reply)
        let out = reply.withUnsafeBytes { $0.loadUnaligned(as: fuse_statfs_out.self) }
        #expect(out.st.blocks == 12345 && out.st.namelen == 255)
        #expect(try cache.statfs(8).isPass)
        usleep(1_050_000)
        #expect(try cache.statfs(7).isPass)
    }

    @Test func malformedIsRefused() throws {
        let cache = try makeCache()
        publishNode(cache)
        let length = MemoryLayout<fuse_getxattr_in>.size
        for input in [[], [UInt8](repeating: 0, count: length + 1)] {
            #expect(try cache.askVariable(FUSE_GETXATTR, 7, input, outSize: 8).isPass)
            #expect(try cache.askVariable(FUSE_LISTXATTR, 7, input, outSize: 8).isPass)
        }
        #expect(try cache.askVariable(FUSE_READLINK, 7, [0], outSize: 4095).isPass)
        #expect(try cache.askVariable(FUSE_STATFS, 7, [], outSize: 8).isPass)
        let counters = try cache.counters()
        #expect(counters[FUSE_GETXATTR.rawValue]?.refused == 2)
        #expect(counters[FUSE_LISTXATTR.rawValue]?.refused == 2)
        #expect(counters[FUSE_READLINK.rawValue]?.refused == 1)
        #expect(counters[FUSE_STATFS.rawValue]?.refused == 1)
    }
}
