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

        try useMount(mountPoint, source: fixture.source)
        #expect(counters[.lookup] > 0 && counters[.write] == 1 && counters[.rename] == 1)

        session.exit()
        #expect(try running.wait() == nil)
        session.unmount()
        #expect(try status(mountPoint).st_dev == status("/tmp").st_dev)
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
