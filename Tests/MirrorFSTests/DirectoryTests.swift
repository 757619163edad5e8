import FuseSession
import Glibc
import MirrorFS
import SystemPackage
import Testing

/// The names that READDIR or READDIRPLUS return, without "." and "..", read by `size` bytes.
func readNames(
    _ fixture: Fixture, _ node: NodeID = rootNodeID, size: Int, isPlus: Bool = false,
    between: () throws -> Void = {}
) throws -> [[UInt8]] {
    let mirror = fixture.mirror
    let handle = try mirror.openDirectory(fixture.root, node: node, flags: O_RDONLY).handle
    defer { mirror.releaseDirectory(node: node, handle: handle) }
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 8)
    defer { memory.deallocate() }
    var names: [[UInt8]] = []
    var offset: Int64 = 0
    while true {
        var entries = DirectoryBuffer(memory, isPlus: isPlus)
        if isPlus {
            try mirror.readDirectoryPlus(
                fixture.root, node: node, handle: handle, offset: offset, into: &entries)
        } else {
            try mirror.readDirectory(
                fixture.root, node: node, handle: handle, offset: offset, into: &entries)
        }
        let bytes = entries.bytes
        if bytes.isEmpty { return names }
        var position = 0
        while position < bytes.count {
            // struct fuse_direntplus is struct fuse_entry_out, 128 bytes, and struct fuse_dirent.
            let start = position + (isPlus ? 128 : 0)
            offset = bytes.load(fromByteOffset: start + 8, as: Int64.self)
            let length = Int(bytes.load(fromByteOffset: start + 16, as: UInt32.self))
            let name = Array(bytes[(start + 24)..<(start + 24 + length)])
            if name != [0x2E], name != [0x2E, 0x2E] { names.append(name) }
            position = (start + 24 + length + 7) & ~7
        }
        try between()
    }
}

@Suite struct DirectoryTests {
    @Test(arguments: [512, 4096, 65_536], [false, true])
    func everyNameComesOnce(_ size: Int, _ isPlus: Bool) throws {
        let fixture = try Fixture()
        var expected: Set<[UInt8]> = []
        for length in 1...255 {
            let name = String(repeating: "n", count: length)
            expected.insert(Array(name.utf8))
            try #require(mkdir(fixture.path(name), 0o755) == 0)
        }
        let names = try readNames(fixture, size: size, isPlus: isPlus)
        #expect(names.count == expected.count)
        #expect(Set(names) == expected)
        #expect(fixture.nodes.count == (isPlus ? 256 : 1))
    }

    @Test func aBufferTooSmallForOneEntryIsEINVAL() throws {
        let fixture = try Fixture()
        #expect(throws: Errno.invalidArgument) { try readNames(fixture, size: 24) }
    }

    /// As `rm -rf` does.
    @Test func namesMayGoWhileTheDirectoryIsRead() throws {
        let fixture = try Fixture()
        var remaining: Set<String> = []
        for number in 0..<2_000 {
            let name = "file-\(number)"
            remaining.insert(name)
            _ = close(open(fixture.path(name), O_CREAT | O_WRONLY, 0o644))
        }
        let names = try readNames(fixture, size: 4096) {
            for name in remaining.prefix(50) {
                try fixture.mirror.removeFile(fixture.root, parent: 1, name: name)
                remaining.remove(name)
            }
        }
        let listed = Set(names.map { String(decoding: $0, as: UTF8.self) })
        #expect(listed.count == names.count)
        #expect(listed.isSuperset(of: remaining))
    }
}
