import CLinux
import FuseSession
import Glibc
import MirrorFS
import Syscall
import SystemPackage
import Testing

/// Each operation through the mirror leaves SOURCE as the system call of its name does.
@Suite struct OperationTests {
    struct Operation: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let mirror: @Sendable (Fixture) throws(Errno) -> Void
        /// The same with plain system calls, in the directory given; 0 or -1 and errno.
        let native: @Sendable (String) -> Int32
    }

    static let operations = [
        Operation(testDescription: "mkdir") { (f) throws(Errno) in
            try f.makeDirectory("new", mode: 0o1750)
        } native: {
            mkdir($0 + "/new", 0o1750)
        },
        Operation(testDescription: "mkdir of what exists") { (f) throws(Errno) in
            try f.makeDirectory("directory")
        } native: {
            mkdir($0 + "/directory", 0o755)
        },
        Operation(testDescription: "mkfifo") { (f) throws(Errno) in
            _ = try f.mirror.makeNode(
                f.root, parent: 1, name: "new", mode: S_IFIFO | 0o600, device: 0)
        } native: {
            mkfifo($0 + "/new", 0o600)
        },
        Operation(testDescription: "symlink") { (f) throws(Errno) in
            _ = try f.mirror.makeSymlink(f.root, parent: 1, name: "new", target: "no/where")
        } native: {
            symlink("no/where", $0 + "/new")
        },
        Operation(testDescription: "link") { (f) throws(Errno) in
            let file = try f.lookup("file").nodeID
            _ = try f.mirror.makeLink(f.root, to: file, parent: 1, name: "new")
        } native: {
            link($0 + "/file", $0 + "/new")
        },
        Operation(testDescription: "link of a symlink") { (f) throws(Errno) in
            let link = try f.lookup("symlink").nodeID
            _ = try f.mirror.makeLink(f.root, to: link, parent: 1, name: "new")
        } native: {
            linkat(AT_FDCWD, $0 + "/symlink", AT_FDCWD, $0 + "/new", 0)
        },
        Operation(testDescription: "link over a name") { (f) throws(Errno) in
            let file = try f.lookup("file").nodeID
            _ = try f.mirror.makeLink(f.root, to: file, parent: 1, name: "directory")
        } native: {
            link($0 + "/file", $0 + "/directory")
        },
        Operation(testDescription: "link of a directory") { (f) throws(Errno) in
            let node = try f.lookup("directory").nodeID
            _ = try f.mirror.makeLink(f.root, to: node, parent: 1, name: "new")
        } native: {
            link($0 + "/directory", $0 + "/new")
        },
        Operation(testDescription: "unlink") { (f) throws(Errno) in
            try f.mirror.removeFile(f.root, parent: 1, name: "file")
        } native: {
            unlink($0 + "/file")
        },
        Operation(testDescription: "unlink of nothing") { (f) throws(Errno) in
            try f.mirror.removeFile(f.root, parent: 1, name: "nothing")
        } native: {
            unlink($0 + "/nothing")
        },
        Operation(testDescription: "unlink of a directory") { (f) throws(Errno) in
            try f.mirror.removeFile(f.root, parent: 1, name: "directory")
        } native: {
            unlink($0 + "/directory")
        },
        Operation(testDescription: "rmdir") { (f) throws(Errno) in
            try f.mirror.removeDirectory(f.root, parent: 1, name: "empty")
        } native: {
            rmdir($0 + "/empty")
        },
        Operation(testDescription: "rmdir of a full directory") { (f) throws(Errno) in
            try f.mirror.removeDirectory(f.root, parent: 1, name: "directory")
        } native: {
            rmdir($0 + "/directory")
        },
        Operation(testDescription: "rmdir of a file") { (f) throws(Errno) in
            try f.mirror.removeDirectory(f.root, parent: 1, name: "file")
        } native: {
            rmdir($0 + "/file")
        },
        renaming("file", "new"), renaming("file", "other"), renaming("directory", "new"),
        renaming("directory", "empty"), renaming("empty", "directory"), renaming("file", "empty"),
        renaming("empty", "file"), renaming("nothing", "new"), renaming("file", "file"),
        renaming("file", "other", UInt32(LINUX_RENAME_NOREPLACE)),
        renaming("file", "new", UInt32(LINUX_RENAME_NOREPLACE)),
        renaming("file", "directory", UInt32(LINUX_RENAME_EXCHANGE)),
        renaming("file", "new", UInt32(LINUX_RENAME_EXCHANGE)),
        renaming("file", "other", 1 << 30),
        Operation(testDescription: "a name of 256 bytes") { (f) throws(Errno) in
            try f.makeFile(String(repeating: "x", count: 256))
        } native: {
            open($0 + "/" + String(repeating: "x", count: 256), O_CREAT, 0o644)
        },
        Operation(testDescription: "create in a file") { (f) throws(Errno) in
            let file = try f.lookup("file").nodeID
            try f.makeFile("x", in: file)
        } native: {
            open($0 + "/file/x", O_CREAT, 0o644)
        },
        Operation(testDescription: "exclusive create of what exists") { (f) throws(Errno) in
            _ = try f.mirror.create(
                f.root, parent: 1, name: "file", mode: S_IFREG | 0o644, flags: O_EXCL | O_WRONLY)
        } native: {
            open($0 + "/file", O_CREAT | O_EXCL | O_WRONLY, 0o644)
        },
        Operation(testDescription: "open with O_TRUNC") { (f) throws(Errno) in
            let file = try f.lookup("file").nodeID
            let open = try f.mirror.open(f.root, node: file, flags: O_WRONLY | O_TRUNC)
            f.mirror.release(node: file, handle: open.handle)
        } native: {
            close(open($0 + "/file", O_WRONLY | O_TRUNC))
        },
    ]

    static func renaming(_ old: String, _ new: String, _ flags: UInt32 = 0) -> Operation {
        Operation(testDescription: "rename \(old) to \(new), flags \(flags)") {
            (f) throws(Errno) in
            try f.mirror.rename(
                f.root, parent: 1, name: old, newParent: 1, newName: new, flags: flags)
        } native: { directory in
            linux_renameat2(
                AT_FDCWD, directory + "/" + old, AT_FDCWD, directory + "/" + new, flags)
        }
    }

    private func populate(_ directory: String) throws {
        for (name, content) in [("file", "content"), ("other", "else")] {
            let fd = Glibc.open(directory + "/" + name, O_CREAT | O_WRONLY, 0o644)
            try #require(Glibc.write(fd, content, content.utf8.count) == content.utf8.count)
            _ = close(fd)
        }
        try #require(mkdir(directory + "/directory", 0o755) == 0)
        try #require(mkdir(directory + "/directory/inner", 0o755) == 0)
        try #require(mkdir(directory + "/empty", 0o700) == 0)
        try #require(symlink("file", directory + "/symlink") == 0)
    }

    /// What `directory` holds, without what differs from file to file.
    private func list(_ directory: String) throws -> [String] {
        let stream = try #require(opendir(directory))
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
                })
        }
        return try names.filter { $0 != ".." }.sorted().map { name in
            let status = try status(directory + "/" + name)
            let size = status.st_mode & S_IFMT == S_IFDIR ? 0 : status.st_size
            return "\(name) \(String(status.st_mode, radix: 8)) \(status.st_nlink) \(size)"
        }
    }

    @Test(arguments: operations)
    func leavesSourceAsTheSystemCallDoes(_ operation: Operation) throws {
        // Any umask, as a test before this one may leave it on this thread.
        try Syscall.setThreadMask(0o077)
        let fixture = try Fixture()
        let reference = try Fixture()
        try populate(fixture.source)
        try populate(reference.source)

        errno = 0
        let failed = operation.native(reference.source) == -1
        let expected = failed ? Errno(rawValue: errno) : nil
        var thrown: Errno?
        do throws(Errno) { try operation.mirror(fixture) } catch { thrown = error }

        #expect(thrown == expected)
        #expect(try list(fixture.source) == list(reference.source))
    }

    @Test func renameAcrossFileSystemsIsEXDEV() throws {
        let fixture = try Fixture()
        try #require(mkdir(fixture.path("mount"), 0o755) == 0)
        try #require(mount("none", fixture.path("mount"), "tmpfs", 0, nil) == 0)
        defer { umount2(fixture.path("mount"), Int32(MNT_DETACH)) }
        try fixture.makeFile("file")
        let mounted = try fixture.lookup("mount")
        #expect(throws: Errno.improperLink) {
            try fixture.mirror.rename(
                fixture.root, parent: 1, name: "file", newParent: mounted.nodeID, newName: "file",
                flags: 0)
        }
    }

    static let oddNames: [[UInt8]] = [
        [0xFF, 0xFE, 0x2D], [0x0A], Array(repeating: 0xC3, count: 255),
    ]

    @Test(arguments: oddNames)
    func namesAreBytes(_ name: [UInt8]) throws {
        let fixture = try Fixture()
        let terminated = (name + [0]).map { CChar(bitPattern: $0) }
        let (made, file) = try fixture.mirror.create(
            fixture.root, parent: 1, name: terminated, mode: S_IFREG | 0o600, flags: O_WRONLY)
        fixture.mirror.release(node: made.nodeID, handle: file.handle)
        let found = try fixture.mirror.lookup(fixture.root, parent: 1, name: terminated)
        #expect(found.nodeID == made.nodeID)
        #expect(try readNames(fixture, size: 4096) == [name])
        try fixture.mirror.removeFile(fixture.root, parent: 1, name: terminated)
        #expect(try readNames(fixture, size: 4096) == [])
    }

    @Test func dataGoesThrough() throws {
        let fixture = try Fixture()
        let entry = try fixture.makeFile("file", "hello")
        #expect(try fixture.content(entry.nodeID) == "hello")
        #expect(try status(fixture.path("file")).st_size == 5)
        let append = try fixture.mirror.open(
            fixture.root, node: entry.nodeID, flags: O_WRONLY | O_APPEND)
        defer { fixture.mirror.release(node: entry.nodeID, handle: append.handle) }
        // The kernel's offset may be old where somebody else has appended.
        try fixture.write(" world", to: entry.nodeID, append.handle, at: 2, appends: true)
        #expect(try fixture.content(entry.nodeID) == "hello world")
        // A page of a mapping, or after fcntl(2).
        try fixture.write("H", to: entry.nodeID, append.handle, at: 0)
        #expect(try fixture.content(entry.nodeID) == "Hello world")
        try fixture.mirror.allocate(
            fixture.root, node: entry.nodeID, handle: append.handle, mode: 0, offset: 0,
            length: 100)
        #expect(try fixture.attributes(entry.nodeID).st_size == 100)
        try fixture.mirror.sync(
            fixture.root, node: entry.nodeID, handle: append.handle, dataOnly: true)
        try fixture.mirror.flush(fixture.root, node: entry.nodeID, handle: append.handle)
    }

    @Test func copyRangeCopies() throws {
        let fixture = try Fixture()
        let from = try fixture.makeFile("from", "0123456789").nodeID
        let to = try fixture.makeFile("to").nodeID
        let source = try fixture.mirror.open(fixture.root, node: from, flags: O_RDONLY)
        let target = try fixture.mirror.open(fixture.root, node: to, flags: O_RDWR)
        let count = try fixture.mirror.copyRange(
            fixture.root, from: FileRange(node: from, handle: source.handle, offset: 3),
            to: FileRange(node: to, handle: target.handle, offset: 0), count: 4, flags: 0)
        #expect(count == 4)
        #expect(try fixture.content(to) == "3456")
        fixture.mirror.release(node: from, handle: source.handle)
        fixture.mirror.release(node: to, handle: target.handle)
    }

    @Test func symlinksReadAndKeepTheirTimes() throws {
        let fixture = try Fixture()
        let target = String(repeating: "t", count: 4000)
        let link = try fixture.mirror.makeSymlink(
            fixture.root, parent: 1, name: "link", target: target)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
        defer { buffer.deallocate() }
        let count = try fixture.mirror.readLink(
            fixture.root, node: link.nodeID, into: buffer)
        #expect(String(decoding: buffer[..<count], as: UTF8.self) == target)
        var changes = AttributeChanges()
        changes.modificationTime = .at(seconds: 5, nanoseconds: 6)
        changes.uid = 12
        _ = try fixture.mirror.setAttributes(
            fixture.root, of: link.nodeID, handle: nil, to: changes)
        let status = try status(fixture.path("link"))
        #expect(status.st_mtim.tv_sec == 5 && status.st_mtim.tv_nsec == 6)
        #expect(status.st_uid == 12)
    }

    @Test func extendedAttributes() throws {
        let fixture = try Fixture()
        let node = try fixture.makeFile("file").nodeID
        let before = try fixture.attributes(node)
        usleep(20_000)
        let value: [UInt8] = [1, 0, 255]
        try value.withUnsafeBytes { bytes in
            try fixture.mirror.setExtendedAttribute(
                fixture.root, of: node, name: "user.key", to: bytes, flags: 0)
        }
        let after = try fixture.attributes(node)
        #expect(before.st_ctim.tv_nsec != after.st_ctim.tv_nsec)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 1)
        defer { buffer.deallocate() }
        let empty = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        func get(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
            try fixture.mirror.extendedAttribute(
                fixture.root, of: node, name: "user.key", into: buffer)
        }
        #expect(try get(empty) == 3)
        #expect(try get(buffer) == 3)
        #expect(Array(buffer[..<3]) == value)
        #expect(throws: Errno.outOfRange) {
            try get(UnsafeMutableRawBufferPointer(rebasing: buffer[..<2]))
        }
        let names = try fixture.mirror.extendedAttributeNames(
            fixture.root, of: node, into: buffer)
        #expect(String(decoding: buffer[..<names], as: UTF8.self).contains("user.key\0"))
        try fixture.mirror.removeExtendedAttribute(fixture.root, of: node, name: "user.key")
        #expect(throws: Errno(rawValue: ENODATA)) { try get(buffer) }
    }
}
