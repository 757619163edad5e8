import MirrorFS
import Testing

@testable import MountRegistry
@testable import shortfuse

@Suite struct MountOptionsTests {
    @Test func passesOnWhatLibfuseTakes() throws {
        let options = try MountOptions(
            parsing: ["ro,nosuid,relatime", "allow_other", "x-systemd.automount,nofail"])
        #expect(options.forLibfuse == ["ro", "nosuid", "allow_other", "default_permissions"])
        #expect(
            options.given == [
                "ro", "nosuid", "relatime", "allow_other", "x-systemd.automount", "nofail",
            ])
    }

    @Test(arguments: [
        ("", MirrorFS.AccessTimes.all), ("noatime", .none), ("ro", .none), ("ro,rw", .all),
        ("nodiratime", .notOfDirectories), ("nodiratime,diratime", .all), ("noatime,atime", .all),
        ("noatime,nodiratime", .none), ("relatime", .all),
    ])
    func movesAccessTimes(_ list: String, _ expected: MirrorFS.AccessTimes) throws {
        let options = try MountOptions(parsing: [list])
        #expect(options.accessTimes == expected)
    }

    @Test func alwaysChecksPermissionsOnce() throws {
        for arguments in [[], ["default_permissions"], ["ro,default_permissions"]] {
            let session = try MountOptions(parsing: arguments).forLibfuse
            #expect(session.filter { $0 == "default_permissions" }.count == 1)
        }
    }

    @Test func namesTheSource() throws {
        let plain = try MountOptions(parsing: []).session(source: "/a,b", threads: 3)
        #expect(plain.sourceName == Array("/a,b".utf8))
        #expect(plain.subtype == Array("shortfuse".utf8))
        #expect(plain.mountOptions == [Array("default_permissions".utf8)])
        #expect(plain.maxThreads == 3)
        let named = try MountOptions(parsing: ["fsname=a\\,b,subtype=t"])
            .session(source: "/s", threads: 1)
        #expect(named.sourceName == Array("a,b".utf8))
        #expect(named.subtype == Array("t".utf8))
    }

    @Test func textsKeepTheirBytes() throws {
        let odd = Arguments.text("fsname=".utf8 + [0xFF])
        let options = try MountOptions(parsing: [odd])
        #expect(options.session(source: "/s", threads: 1).sourceName == [0xFF])
        #expect(options.given == ["fsname=\\xff"])
        let source = Path(bytes: [0x2F, 0xFE])
        let unnamed = try MountOptions(parsing: []).session(source: source, threads: 1)
        #expect(unnamed.sourceName == source.bytes)
        let failure = #expect(throws: Failure.self) {
            try MountOptions(parsing: [Arguments.text([0x61, 0xFF, 0x1B])])
        }
        #expect(failure?.description.hasPrefix("-o a\\xff\\x1b: unknown") == true)
    }

    @Test func takesWhatOtherFileSystemsTake() throws {
        let options = try MountOptions(parsing: [
            "defaults,nofail,_netdev,noauto,x-systemd.automount,x-foo=1,X-mount.mkdir,comment=a",
            "owner,lazytime,nosymfollow,norelatime,iversion,uhelper=x",
        ])
        #expect(options.forLibfuse == ["nosuid", "nodev", "default_permissions"])
        #expect(!options.followsSymlinks)
        #expect(options.settings.isEmpty)
        #expect(options.flags == ["lazytime", "nosymfollow", "norelatime"])
    }

    @Test(arguments: [
        ("user", ["nosuid", "nodev", "noexec"]),
        ("users,exec", ["nosuid", "nodev", "noexec", "exec"]),
        ("user=joe", ["nosuid", "nodev", "noexec"]), ("group", ["nosuid", "nodev"]),
    ])
    func whoMayMountDoesNotGain(list: String, flags: [String]) throws {
        #expect(try MountOptions(parsing: [list]).forLibfuse.dropLast() == flags[...])
    }

    @Test func hasTheOptionsOfTheCommandLine() throws {
        let options = try MountOptions(parsing: ["accelerate=require,threads=7,cache_entries=128"])
        #expect(options.accelerate == .require)
        #expect(options.threads == 7)
        #expect(options.cacheEntries == 128)
        #expect(options.settings == ["accelerate=require", "threads=7", "cache_entries=128"])
    }

    @Test func sloppyLeavesUnknownOut() throws {
        let options = try MountOptions(parsing: ["frob,ro,bar=1"], isSloppy: true)
        #expect(options.given == ["ro"])
        #expect(throws: Failure.self) { try MountOptions(parsing: ["ro=1"], isSloppy: true) }
    }

    @Test func remountTakesWhatTheKernelShows() throws {
        let options = try MountOptions(
            parsing: ["ro,remount,user_id=0,group_id=0,default_permissions,allow_other"])
        #expect(options.isRemount)
        #expect(options.flags == ["ro"])
        #expect(options.settings == ["allow_other"])
    }

    @Test(arguments: [
        "frob", "ro=1", "fsname", "fsname=", "max_read=", "max_read=x", "max_read=12", "fd=3",
        "rootmode=040000", "auto_unmount", "allow_other,allow_root", "rw,,frobnicate",
        "accelerate", "accelerate=maybe", "threads=0", "threads=x", "cache_entries=100",
        "user_id=0", "users=joe", "commentary", "nosymfollow=1", "bind",
    ])
    func refuses(list: String) {
        let failure = #expect(throws: Failure.self) { try MountOptions(parsing: [list]) }
        #expect(failure?.description.hasPrefix("-o ") == true)
        #expect(failure?.description.contains("\n") == false)
    }

    @Test(arguments: [
        ("", []), ("a", ["a"]), ("a,b", ["a", "b"]), (",a,,b,", ["a", "b"]),
        ("a\\,b,c", ["a,b", "c"]), ("a\\\\,b", ["a\\", "b"]), ("a\\", ["a"]),
        ("a,\u{301}b", ["a", "\u{301}b"]),
        ("context=\"u:r:s0:c1,c2\",ro", ["context=u:r:s0:c1,c2", "ro"]), ("a=\"\"", ["a="]),
        ("a=\"b", ["a=\"b"]), ("a=\"b,c=\"d\"", ["a=\"b", "c=d"]), ("a\"b,c\"", ["a\"b", "c\""]),
    ])
    func splits(list: String, options: [String]) {
        #expect(MountOptions.split(list) == options)
    }

    @Test func escapeIsUndoneBySplit() {
        for text in ["a", "a,b", "\\", ",\\,", "a\\,b"] {
            #expect(MountOptions.split(MountOptions.escape(text)) == [text])
        }
    }
}

@Suite struct OrdinaryUserTests {
    @Test(arguments: [
        ("", []), ("suid", ["suid"]), ("suid,nosuid", []), ("nosuid,suid,dev", ["suid", "dev"]),
        ("suid,dev,user", []), ("context=x", ["context"]), ("nosymfollow", ["nosymfollow"]),
        ("ro,noexec,allow_other", []),
    ])
    func optionsForRoot(options: String, expected: [String]) throws {
        #expect(try MountOptions(parsing: [options]).forRootAlone == expected)
    }

    @Test(arguments: [
        ("user_allow_other", true), ("mount_max = 9\n  user_allow_other \n", true),
        ("#user_allow_other", false), ("user_allow_other_not", false), ("", false),
    ])
    func othersArePermitted(text: String, expected: Bool) {
        #expect(OrdinaryUser.permitsOthers(text) == expected)
    }
}
