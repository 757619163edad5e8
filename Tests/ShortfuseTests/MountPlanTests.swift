import Glibc
import Testing

@testable import MountRegistry
@testable import shortfuse

/// The checks come before anything is changed, so they need root but mount nothing.
@Suite(.enabled(if: geteuid() == 0)) struct MountPlanTests {
    private let scratch: Scratch
    private let source: Path
    private let mountpoint: Path

    init() throws {
        scratch = try Scratch()
        source = Path(scratch.make("source"))
        mountpoint = Path(scratch.make("mountpoint"))
        _ = scratch.make("source/inside")
    }

    @Test func resolvesBoth() throws {
        symlink("source", scratch.path + "/link")
        let plan = try MountPlan(source: "\(scratch.path)/link", mountpoint: "\(mountpoint)/.")
        #expect(plan.source == source)
        #expect(plan.mountpoint == mountpoint)
    }

    @Test(arguments: [
        ("none", "mountpoint", "SOURCE does not exist"),
        ("file", "mountpoint", "SOURCE is not a directory"),
        ("file/below", "mountpoint", "SOURCE is not a directory"),
        ("source", "none", "MOUNTPOINT does not exist"),
        ("source", "file", "MOUNTPOINT is not a directory"),
        ("source", "full", "MOUNTPOINT is not empty"),
        ("source", "source/inside", "MOUNTPOINT is inside SOURCE"),
        ("source", "source", "the same directory"),
        ("source/inside", "source", "SOURCE is inside MOUNTPOINT"),
        ("source", "../proc", "already a mount point"),
    ])
    func refuses(source: String, mountpoint: String, because: String) throws {
        let full = scratch.make("full")
        try Files.replace("\(full)/x", with: [])
        try Files.replace("\(scratch.path)/file", with: [])
        let place: Path = mountpoint == "../proc" ? "/proc" : "\(scratch.path)/\(mountpoint)"
        let failure = #expect(throws: Failure.self) {
            try MountPlan(source: "\(scratch.path)/\(source)", mountpoint: place)
        }
        let line = failure?.description ?? ""
        #expect(line.contains(because), "\(line)")
        #expect(line.hasPrefix("/") && !line.contains("\n") && line.contains("; "), "\(line)")
    }

    /// Where the daemon itself goes: it would wait for its own answers.
    @Test func refusesToHideTheState() throws {
        let root = RuntimeDirectory.defaultRoot
        let isNew = mkdir(root.cString, 0o755) == 0
        defer { if isNew { rmdir(root.cString) } }
        let failure = #expect(throws: Failure.self) {
            try MountPlan(source: source, mountpoint: root)
        }
        let line = failure?.description ?? ""
        #expect(line.contains("would hide"), "\(line)")
    }
}

@Suite struct MountCommandTests {
    @Test(arguments: [
        ["mount"], ["mount", "/a"], ["mount", "/a", "/b", "/c"],
        ["mount", "/a", "/b", "--accelerate", "yes"],
        ["mount", "/a", "/b", "--cache-entries", "1000"],
        ["mount", "/a", "/b", "--cache-entries", "32"],
        ["mount", "/a", "/b", "--cache-entries", "33554432"],
        ["mount", "/a", "/b", "--cache-entries", "-1"],
        ["mount", "/a", "/b", "--threads", "0"], ["mount", "/a", "/b", "--threads", "x"],
        ["mount", "/a", "/b", "--frobnicate"], ["unmount"], ["frob"], ["status", "/a", "/b"],
    ])
    func usageErrorsExitWith64(arguments: [String]) {
        #expect {
            _ = try Shortfuse.parseAsRoot(arguments)
        } throws: { error in
            Shortfuse.exitCode(for: error).rawValue == 64
        }
    }

    @Test(arguments: [
        (["-o", "ro,nosuid", "/a", "/b"], ["ro,nosuid"]),
        (["-oro", "/a", "/b", "-o", "dev"], ["ro", "dev"]),
        (["/a", "/b", "--options=ro"], ["ro"]),
    ])
    func takesOptionsAsMountDoes(arguments: [String], options: [String]) throws {
        let mount = try Mount.parse(arguments)
        #expect(mount.options == options)
        #expect(mount.source == "/a" && mount.mountpoint == "/b")
        #expect(!mount.foreground && mount.accelerate == nil && mount.cacheEntries == nil)
    }

    @Test func theDaemonsCommandLineIsTheSame() throws {
        let mount = try Mount.parse([
            "-o", "ro,fsname=-a b", "-o", "dev", "--accelerate", "require", "--threads", "3",
            "--cache-entries", "128", "--", "-a", "-b",
        ])
        let daemon = try #require(
            try Shortfuse.parseAsRoot(mount.daemonArguments(readyDescriptor: 7)) as? Mount)
        #expect(daemon.readyDescriptor == 7)
        #expect(daemon.options == mount.options)
        #expect(daemon.source == "-a" && daemon.mountpoint == "-b")
        #expect(daemon.accelerate == .require && daemon.threads == 3)
        #expect(daemon.cacheEntries == 128)
    }
}
