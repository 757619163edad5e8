import FuseSession
import Glibc
import MirrorFS
import SystemPackage
import Testing

@Suite struct AttributeTests {
    let fixture: Fixture
    let mirror: MirrorFS

    init() throws {
        fixture = try Fixture()
        mirror = fixture.mirror
    }

    private func change(
        _ node: NodeID, handle: FileHandle? = nil, _ set: (inout AttributeChanges) -> Void
    ) throws -> stat {
        var changes = AttributeChanges()
        set(&changes)
        return try mirror.setAttributes(
            fixture.root, of: node, handle: handle, to: changes
        ).status
    }

    @Test func everyReplyHasTheAttributesOfSource() throws {
        let file = try fixture.makeFile("file", "content")
        expectEqual(try fixture.attributes(file.nodeID), try status(fixture.path("file")))
        expectEqual(try fixture.lookup("file").attributes, try status(fixture.path("file")))
        let directory = try fixture.makeDirectory("directory")
        expectEqual(directory.attributes, try status(fixture.path("directory")))
        expectEqual(try fixture.attributes(rootNodeID), try status(fixture.source))
    }

    @Test func eachChangeArrives() throws {
        let node = try fixture.makeFile("file", "content").nodeID
        let path = fixture.path("file")
        expectEqual(try change(node) { $0.mode = S_IFREG | 0o4711 }, try status(path))
        #expect(try status(path).st_mode == S_IFREG | 0o4711)
        expectEqual(try change(node) { $0.size = 3 }, try status(path))
        #expect(try fixture.content(node) == "con")
        expectEqual(try change(node) { $0.size = 10_000 }, try status(path))
        #expect(try status(path).st_size == 10_000)
        let times = try change(node) {
            $0.accessTime = .at(seconds: 11, nanoseconds: 12)
            $0.modificationTime = .at(seconds: -13, nanoseconds: 14)
        }
        #expect(times.st_atim.tv_sec == 11 && times.st_atim.tv_nsec == 12)
        #expect(times.st_mtim.tv_sec == -13 && times.st_mtim.tv_nsec == 14)
        let now = try change(node) { $0.accessTime = .now }
        #expect(now.st_atim.tv_sec > 1_000_000_000)
        #expect(now.st_mtim.tv_sec == -13)
        let owner = try change(node) {
            $0.uid = 12
            $0.gid = 34
        }
        #expect(owner.st_uid == 12 && owner.st_gid == 34)
        #expect(try change(node) { $0.gid = 35 }.st_uid == 12)
    }

    @Test func ownerAndModeAtOnceKeepTheMode() throws {
        let node = try fixture.makeFile("file").nodeID
        let status = try change(node) {
            $0.uid = 12
            $0.mode = S_IFREG | 0o4755
        }
        #expect(status.st_mode == S_IFREG | 0o4755)
    }

    @Test func truncatingByHandleWorksOnAnUnlinkedFile() throws {
        let node = try fixture.makeFile("file", "content").nodeID
        let file = try mirror.open(fixture.root, node: node, flags: O_RDWR)
        defer { mirror.release(node: node, handle: file.handle) }
        try mirror.removeFile(fixture.root, parent: 1, name: "file")
        #expect(try change(node, handle: file.handle) { $0.size = 2 }.st_size == 2)
        #expect(try change(node) { $0.size = 1 }.st_size == 1)
    }

    @Test func anImpossibleSizeIsRefused() throws {
        let node = try fixture.makeFile("file").nodeID
        #expect(throws: Errno.invalidArgument) { try change(node) { $0.size = -1 } }
    }

    // MARK: Owners (the daemon must be root)

    static let isRoot = geteuid() == 0
    let caller = RequestContext(uid: 65_534, gid: 12_345)

    @Test(.enabled(if: isRoot)) func whatACallerMakesIsTheirs() throws {
        let file = try fixture.makeFile("file", as: caller).attributes
        let directory = try mirror.makeDirectory(
            caller, parent: 1, name: "directory", mode: 0o755
        ).attributes
        let link = try mirror.makeSymlink(
            caller, parent: 1, name: "link", target: "x"
        ).attributes
        let pipe = try mirror.makeNode(
            caller, parent: 1, name: "pipe", mode: S_IFIFO | 0o600, device: 0
        ).attributes
        for status in [file, directory, link, pipe] {
            #expect(status.st_uid == 65_534)
            #expect(status.st_gid == 12_345)
        }
        // The thread is the daemon again.
        let own = try fixture.makeFile("own").attributes
        #expect(own.st_uid == 0 && own.st_gid == getegid())
    }

    @Test(.enabled(if: isRoot)) func setGroupIDDirectoriesPassTheirGroupOn() throws {
        let parent = try fixture.makeDirectory("parent").nodeID
        _ = try change(parent) {
            $0.gid = 60
            $0.mode = S_IFDIR | 0o2777
        }
        let file = try fixture.makeFile("file", in: parent, mode: 0o2755, as: caller).attributes
        #expect(file.st_uid == 65_534 && file.st_gid == 60)
        // The kernel has stripped the bit where it must go; what it sends stays.
        #expect(file.st_mode & 0o7777 == 0o2755)
        let directory = try mirror.makeDirectory(
            caller, parent: parent, name: "directory", mode: 0o755
        ).attributes
        #expect(directory.st_gid == 60)
        #expect(directory.st_mode & 0o7777 == 0o2755)
    }

    @Test(.enabled(if: isRoot)) func modesArriveWhole() throws {
        // The kernel has applied the caller's umask.
        let file = try fixture.makeFile("file", mode: 0o666, as: caller).attributes
        #expect(file.st_mode & 0o7777 == 0o666)
    }

    @Test(
        arguments: [
            (0, 0o000, R_OK | W_OK, true), (0, 0o600, X_OK, false), (0, 0o001, X_OK, true),
            (12, 0o700, R_OK | W_OK | X_OK, true), (12, 0o077, R_OK, false),
            (13, 0o004, R_OK, true), (13, 0o770, R_OK, false),
        ] as [(uid_t, mode_t, Int32, Bool)])
    func accessJudgesTheCaller(
        _ uid: uid_t, _ mode: mode_t, _ mask: Int32, _ allowed: Bool
    ) throws {
        let node = try fixture.makeFile("file").nodeID
        _ = try change(node) {
            $0.uid = 12
            $0.gid = 12
            $0.mode = S_IFREG | mode
        }
        let context = RequestContext(uid: uid, gid: uid)
        if allowed {
            try mirror.access(context, node: node, mask: mask)
        } else {
            #expect(throws: Errno.permissionDenied) {
                try mirror.access(context, node: node, mask: mask)
            }
        }
    }
}
