import Testing

@testable import MountRegistry
@testable import shortfuse

@Suite struct HelperCallTests {
    private static let commands = ["help", "mount", "status"]

    private func find(_ program: String, _ arguments: [String]) throws -> HelperCall? {
        try HelperCall.find(program: program, arguments: arguments, commands: Self.commands)
    }

    @Test(arguments: [
        "mount.shortfuse", "/sbin/mount.shortfuse", "/usr/sbin/mount.fuse.shortfuse",
    ])
    func isAHelperByName(program: String) throws {
        let call = try #require(
            try find(program, ["/src", "/mnt", "-sfnv", "-o", "ro,a=b", "-t", "fuse.shortfuse"]))
        #expect(
            call.arguments == [
                "mount", "--sloppy", "--fake", "--options=suid,dev", "--options=ro,a=b", "--",
                "/src", "/mnt",
            ])
    }

    @Test func optionsMayComeFirstAndJoined() throws {
        let call = try find("mount.shortfuse", ["-oro", "-n", "/src", "-N", "/proc/1/ns/mnt", "m"])
        #expect(
            call?.arguments == [
                "mount", "--quiet", "--options=suid,dev", "--options=ro", "--", "/src", "m",
            ])
        #expect(call?.namespace == "/proc/1/ns/mnt")
    }

    /// A flag that mount(8) does not name is to be cleared.
    @Test func remountNamesAllFlags() throws {
        let call = try find("mount.shortfuse", ["/src", "/mnt", "-o", "ro,remount"])
        #expect(
            call?.arguments == [
                "mount", "--quiet", "--options=suid,dev,exec,async,symfollow,diratime",
                "--options=ro,remount", "--", "/src", "/mnt",
            ])
    }

    /// As mount.fuse(8) calls it.
    @Test func sourceFirst() throws {
        let call = try find("/usr/bin/shortfuse", ["/src", "/mnt", "-o", "rw,dev,suid"])
        #expect(
            call?.arguments == ["mount", "--quiet", "--options=rw,dev,suid", "--", "/src", "/mnt"])
        #expect(try find("shortfuse", ["src", "mnt", "-o", "rw"]) != nil)
    }

    @Test(arguments: [
        [], ["mount", "/a", "/b"], ["--version"], ["--help", "/a"], ["staus", "/mnt"], ["/a"],
        ["help", "mount"], ["status", "/mnt", "-o"],
    ])
    func isNone(arguments: [String]) throws {
        #expect(try find("shortfuse", arguments) == nil)
    }

    @Test(arguments: [
        ([], "usage"), (["/a"], "usage"), (["/a", "/b", "/c"], "usage"),
        (["/a", "/b", "-x"], "-x: unknown"), (["/a", "/b", "-o"], "-o: needs a value"),
        (["/a", "/b", "-t", "shortfuse.x"], "-t shortfuse.x"),
        (["/a", "/b", "--frob"], "--frob: unknown"),
    ])
    func refuses(arguments: [String], because: String) {
        let failure = #expect(throws: Failure.self) { try find("mount.shortfuse", arguments) }
        #expect(failure?.description.contains(because) == true)
        #expect(failure?.description.contains("\n") == false)
    }
}

@Suite struct MountFlagsTests {
    @Test(
        arguments: [
            (0, ["ro"], 1 | 1 << 24), (1, ["rw"], 1 << 24),
            (4096, ["ro", "nosuid"], 1 | 2 | 1 << 21),
            (1024 | 2, ["suid"], 1024), (1024, ["relatime"], 1 << 21),
            (4096 | 8192, ["noatime"], 1024 | 256), (8192 | 4096, ["symfollow"], 1 << 21),
            (4096, ["lazytime", "nolazytime", "dirsync"], 1 << 21 | 128),
        ] as [(UInt, [String], UInt)])
    func changes(status: UInt, words: [String], bits: UInt) {
        var flags = MountFlags(status: status)
        for word in words { flags.apply(word) }
        #expect(flags.bits == bits)
    }
}
