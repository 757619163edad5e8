import Glibc
import Testing

@testable import MountRegistry
@testable import shortfuse

/// A directory that goes away with the test.
final class Scratch {
    let path: String

    init() throws {
        var template = Array("/tmp/shortfuse-test-XXXXXX".utf8CString)
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit {
        _ = Tool.output("rm", ["-rf", path])
    }

    func make(_ name: String) -> String {
        mkdir("\(path)/\(name)", 0o755)
        return "\(path)/\(name)"
    }
}

@Suite struct RuntimeDirectoryTests {
    let scratch: Scratch
    let runtime: RuntimeDirectory

    init() throws {
        scratch = try Scratch()
        runtime = RuntimeDirectory(mountpoint: "/mnt/test", root: "\(scratch.path)/run")
    }

    private func state(_ process: ProcessIdentity = .current) -> MountState {
        MountState(
            process: process, source: "/source", mountpoint: "/mnt/test", pins: "/nowhere",
            options: ["ro"])
    }

    /// A process that has ended; its pid may be in use again.
    private static let dead = ProcessIdentity(pid: getpid(), startTime: 1)

    @Test func stateSurvivesTheFile() throws {
        #expect(try runtime.state() == nil)
        try runtime.claim(state())
        #expect(try runtime.state() == state().with(started: runtime))
        var changed = state()
        changed.accelerated = true
        changed.reason = nil
        try runtime.write(changed)
        #expect(try runtime.state() == changed)
        #expect(try RuntimeDirectory.all(root: runtime.root).map(\.name) == [runtime.name])
    }

    @Test func isForRootOnly() throws {
        try runtime.claim(state())
        for (name, mode) in [("", 0o700), ("/state.json", 0o600)] as [(String, mode_t)] {
            var found = stat()
            #expect(stat("\(runtime.path)\(name)", &found) == 0)
            #expect(found.st_mode & 0o777 == mode)
        }
    }

    @Test func aLiveOneIsNotClaimedOrCleared() throws {
        try runtime.claim(state())
        let failure = #expect(throws: Failure.self) { try runtime.claim(state()) }
        #expect(failure?.description.contains("in use by shortfuse") == true)
        #expect(throws: Failure.self) { try runtime.clearLeftovers {} }
        #expect(try runtime.state() != nil)
    }

    @Test func aDeadOneIsClearedAndClaimed() throws {
        try runtime.claim(state(Self.dead))
        #expect(Files.exists(runtime.path))
        var detached = false
        try runtime.clearLeftovers { detached = true }
        #expect(detached)
        #expect(!Files.exists(runtime.path))
        try runtime.claim(state(Self.dead))
        try runtime.claim(state())
        #expect(try runtime.state()?.process == .current)
    }

    @Test func aHalfMadeOneIsCleared() throws {
        try runtime.claim(state(Self.dead))
        unlink("\(runtime.path)/state.json")
        try runtime.clearLeftovers {}
        #expect(!Files.exists(runtime.path))
    }

    @Test func releaseLeavesAnothersAlone() throws {
        try runtime.claim(state(Self.dead))
        try runtime.release()
        #expect(try runtime.state()?.process == Self.dead)
        try runtime.claim(state())
        try runtime.release()
        #expect(try runtime.state() == nil)
        #expect(!Files.exists(runtime.path))
    }

    @Test func oneWithoutItsMountMakesWay() throws {
        var detached = state()
        detached.device = 0xFFFF
        try runtime.claim(detached)
        var later = state(Self.dead)
        later.pins = "/later"
        try runtime.claim(later)
        #expect(try runtime.state()?.process == Self.dead)
        let aside = try #require(runtime.allAside.first)
        #expect(try aside.state()?.process == .current)
        #expect(try aside.state()?.pins == aside.pins)
        // Its daemon finds it there.
        try runtime.update { $0.reason = "found" }
        #expect(try aside.state()?.reason == "found")
        try runtime.release()
        #expect(runtime.allAside.isEmpty)
        #expect(try runtime.state()?.pins == "/later")
    }

    @Test func whatMadeWayAndWasKilledIsSwept() throws {
        var detached = state()
        detached.device = 0xFFFF
        try runtime.claim(detached)
        try runtime.makeRoom()
        let aside = try #require(runtime.allAside.first)
        try aside.write(state(Self.dead))
        try runtime.clearLeftovers {}
        #expect(runtime.allAside.isEmpty)
        #expect(!Files.exists(aside.path))
    }

    @Test func noMountPointHasTheNameOfOneAside() throws {
        for mountpoint in ["/mnt/test_d7", "/mnt/test/d7", "/mnt/test_/d7"] as [Path] {
            let other = RuntimeDirectory(mountpoint: mountpoint, root: runtime.root)
            try other.claim(state(Self.dead))
            #expect(runtime.allAside.isEmpty)
        }
    }

    @Test func anUnreadableStateIsNotTouched() throws {
        try runtime.claim(state(Self.dead))
        try Files.replace("\(runtime.path)/state.json", with: Array("{".utf8))
        #expect(throws: Failure.self) { try runtime.state() }
        #expect(throws: Failure.self) { try runtime.clearLeftovers {} }
        #expect(Files.exists(runtime.path))
    }

    @Test func aFailedDetachKeepsTheState() throws {
        try runtime.claim(state(Self.dead))
        #expect(throws: Failure.self) {
            try runtime.clearLeftovers { () throws(Failure) in throw Failure("busy") }
        }
        #expect(try runtime.state() != nil)
    }
}

extension MountState {
    /// Equal but for the second in which it was made.
    fileprivate func with(started runtime: RuntimeDirectory) throws -> MountState {
        var copy = self
        copy.started = try runtime.state()?.started ?? ""
        return copy
    }
}

@Suite struct ProcessIdentityTests {
    @Test func thisProcessIsAlive() {
        #expect(ProcessIdentity.current.isAlive)
        #expect(ProcessIdentity.current.startTime > 0)
    }

    @Test func aRecycledPIDIsNotTakenForIt() {
        let current = ProcessIdentity.current
        #expect(!ProcessIdentity(pid: current.pid, startTime: current.startTime - 1).isAlive)
        #expect(!ProcessIdentity(pid: -1, startTime: current.startTime).isAlive)
    }

    @Test(
        arguments: [
            ("7 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20", 4711),
            ("7 (a) S) (R 1 ) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20", 4711),
            ("7 (a) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20", nil),
            ("7 (a) S 1 2", nil), ("", nil),
        ] as [(String, UInt64?)])
    func parses(line: String, startTime: UInt64?) {
        #expect(ProcessIdentity.parseStartTime(Array(line.utf8)) == startTime)
    }
}

@Suite struct MountTableTests {
    @Test func parses() {
        let text = """
            36 35 98:0 / /mnt/a\\040b\\134c rw,noatime master:1 shared:2 - ext4 /dev/root rw
            37 35 0:41 / /mnt rw - fuse.shortfuse /srv rw,user_id=0
            broken
            38 35 0:42 / /mnt rw

            """
        #expect(
            MountTable.parse(Array(text.utf8)) == [
                MountEntry(device: 98 << 8, mountpoint: "/mnt/a b\\c", type: "ext4"),
                MountEntry(device: 41, mountpoint: "/mnt", type: "fuse.shortfuse"),
            ])
    }

    @Test func findsProc() throws {
        #expect(try MountTable.top(at: "/proc")?.type == "proc")
    }
}

@Suite struct PathsTests {
    @Test func canonicalFollowsLinks() throws {
        let scratch = try Scratch()
        let directory = Path(scratch.make("a"))
        symlink("a", scratch.path + "/link")
        #expect(try Paths.canonical("\(scratch.path)/link/../link//.") == directory)
        #expect(throws: (any Error).self) { try Paths.canonical("\(scratch.path)/none") }
        #expect(try Paths.canonical("/") == "/")
    }

    @Test func insideIsByFileNotByName() throws {
        let scratch = try Scratch()
        let directory = Path(scratch.make("a"))
        let below = Path(scratch.make("a/b"))
        let sibling = Path(scratch.make("ab"))
        #expect(Paths.isInside(below, directory: directory))
        #expect(Paths.isInside(directory, directory: directory))
        #expect(Paths.isInside(directory, directory: "/"))
        #expect(!Paths.isInside(directory, directory: below))
        #expect(!Paths.isInside(sibling, directory: directory))
    }

    @Test(
        arguments: [
            ("/a/b", "/a", "b"), ("/a", "/", "a"), ("a/", ".", "a"), ("a/b//", "a", "b"),
            ("/a/\u{301}", "/a", "\u{301}"),
        ] as [(Path, Path, Path)])
    func splits(path: Path, parent: Path, last: Path) {
        let parts = Paths.split(path)
        #expect(parts?.parent == parent)
        #expect(parts?.last == last)
    }

    @Test(arguments: ["/", ".", "..", "a/..", ""] as [Path])
    func cannotSplit(path: Path) {
        #expect(Paths.split(path) == nil)
    }
}
