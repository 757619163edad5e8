import Testing

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

    @Test func alwaysChecksPermissionsOnce() throws {
        for arguments in [[], ["default_permissions"], ["ro,default_permissions"]] {
            let session = try MountOptions(parsing: arguments).forLibfuse
            #expect(session.filter { $0 == "default_permissions" }.count == 1)
        }
    }

    @Test func namesTheSource() throws {
        let plain = try MountOptions(parsing: []).session(source: "/a,b", threads: 3)
        #expect(plain.sourceName == "/a,b")
        #expect(plain.subtype == "shortfuse")
        #expect(plain.mountOptions == ["default_permissions"])
        #expect(plain.maxThreads == 3)
        let named = try MountOptions(parsing: ["fsname=a\\,b,subtype=t"])
            .session(source: "/s", threads: 1)
        #expect(named.sourceName == "a,b")
        #expect(named.subtype == "t")
    }

    @Test(arguments: [
        "frob", "ro=1", "fsname", "fsname=", "max_read=", "max_read=x", "max_read=12", "fd=3",
        "rootmode=040000", "auto_unmount", "allow_other,allow_root", "rw,,frobnicate",
    ])
    func refuses(list: String) {
        let failure = #expect(throws: Failure.self) { try MountOptions(parsing: [list]) }
        #expect(failure?.description.hasPrefix("-o ") == true)
        #expect(failure?.description.contains("\n") == false)
    }

    @Test(arguments: [
        ("", []), ("a", ["a"]), ("a,b", ["a", "b"]), (",a,,b,", ["a", "b"]),
        ("a\\,b,c", ["a,b", "c"]), ("a\\\\,b", ["a\\", "b"]), ("a\\", ["a"]),
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
