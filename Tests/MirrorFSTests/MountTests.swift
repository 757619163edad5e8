import FuseSession
import Glibc
import KernelCache
import MirrorFS
import SystemPackage
import Testing

/// A real mount, where /dev/fuse is at hand.
@Suite(.enabled(if: geteuid() == 0 && access("/dev/fuse", R_OK | W_OK) == 0))
struct MountTests {
    @Test func filesGoThroughTheMount() throws {
        let fixture = try Fixture()
        let counters = try withMount(of: fixture) {
            try useMount($0, source: fixture.source)
        }
        #expect(counters.lookup > 0 && counters.write == 1 && counters.rename == 1)
    }

    @Test func descriptorsThatAppendDoWhatTheyDoInSource() throws {
        let fixture = try Fixture()
        let reference = try Fixture()
        let expected = try useAppendingDescriptor(reference.path("file"))
        try withMount(of: fixture) { mountPoint in
            let content = try useAppendingDescriptor(mountPoint + "/file")
            #expect(content == expected)
            #expect(
                try status(mountPoint + "/file").st_size
                    == status(reference.path("file")).st_size)
        }
        #expect(try bytes(fixture.path("file")) == expected)
    }

    /// Writes through a mapping, with and without `O_APPEND`. Returns what the file holds then.
    private func useAppendingDescriptor(_ path: String) throws -> [UInt8] {
        let fd = open(path, O_CREAT | O_RDWR | O_APPEND, 0o644)
        try #require(fd >= 0)
        defer { close(fd) }
        let size = 10_000
        let content = [UInt8](repeating: 0x61, count: size)
        #expect(write(fd, content, size) == size)
        let memory = try #require(
            mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0))
        memory.storeBytes(of: 0x4D, toByteOffset: 10, as: UInt8.self)
        memory.storeBytes(of: 0x4E, toByteOffset: 9_000, as: UInt8.self)
        #expect(msync(memory, size, MS_SYNC) == 0)
        munmap(memory, size)
        // Linux: pwrite(2) appends, too.
        #expect(pwrite(fd, "one", 3, 50) == 3)
        #expect(fcntl(fd, F_SETFL, 0) == 0)
        #expect(pwrite(fd, "two", 3, 100) == 3)
        #expect(fcntl(fd, F_SETFL, O_APPEND) == 0)
        #expect(write(fd, "three", 5) == 5)
        #expect(fsync(fd) == 0)
        return try bytes(path)
    }

    private func bytes(_ path: String) throws -> [UInt8] {
        let fd = open(path, O_RDONLY)
        try #require(fd >= 0)
        defer { close(fd) }
        var content = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(fd, &content, content.count)
        return Array(content[..<max(count, 0)])
    }

    /// Requests that a mount has had.
    private struct Counts {
        let lookup, write, rename: UInt64
    }

    /// Calls `body` with the path of a mount of `fixture`.
    @discardableResult
    private func withMount(
        of fixture: Fixture, _ body: (String) throws -> Void
    ) throws -> Counts {
        var template = Array("/tmp/mirror-mount.XXXXXX".utf8CString)
        let mountPoint = String(cString: try #require(mkdtemp(&template)))
        defer { rmdir(mountPoint) }

        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: RequestCounters.byteCount, alignment: 8)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: RequestCounters.byteCount)
        defer { memory.deallocate() }
        let counters = RequestCounters(memory: memory)
        let session = try Session(fixture.mirror, counters: counters)
        try session.mount(at: FilePath(mountPoint))
        let running = BackgroundRun(session)

        let outcome = Result { try body(mountPoint) }
        let counts = Counts(
            lookup: counters[.lookup], write: counters[.write], rename: counters[.rename])

        session.exit()
        #expect(try running.wait() == nil)
        session.unmount()
        #expect(try status(mountPoint).st_dev == status("/tmp").st_dev)
        try outcome.get()
        return counts
    }

    private func useMount(_ mountPoint: String, source: String) throws {
        let device = try status(mountPoint).st_dev
        #expect(device != (try status(source).st_dev))
        try #require(mkdir(mountPoint + "/d", 0o755) == 0)
        let fd = open(mountPoint + "/d/file", O_CREAT | O_RDWR, 0o640)
        try #require(fd >= 0)
        #expect(write(fd, "hello", 5) == 5)
        _ = close(fd)
        #expect(rename(mountPoint + "/d/file", mountPoint + "/d/moved") == 0)
        let there = try status(source + "/d/moved")
        let here = try status(mountPoint + "/d/moved")
        expectEqual(here, there)
        #expect(here.st_dev == device)
        #expect(access(mountPoint + "/d/file", F_OK) == -1 && errno == ENOENT)
        #expect(unlink(mountPoint + "/d/moved") == 0)
        #expect(rmdir(mountPoint + "/d") == 0)
    }
}
