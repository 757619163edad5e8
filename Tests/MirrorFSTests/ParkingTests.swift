import FuseSession
import Glibc
import KernelCache
import SystemPackage
import Testing

@testable import MirrorFS

/// Nodes beyond the limit of open files.
@Suite struct ParkingTests {
    let fixture: Fixture
    let mirror: MirrorFS
    let nodes: NodeTable
    static let limit = 40

    init() throws {
        var options = MirrorFS.Options()
        options.openNodes = Self.limit
        fixture = try Fixture(options: options)
        mirror = fixture.mirror
        nodes = fixture.nodes
    }

    /// Waits for a pass to bring the number of open nodes down.
    private func settle() throws { settle(fixture, Self.limit) }

    private func settle(_ fixture: Fixture, _ limit: Int) {
        for _ in 0..<1_000 where fixture.nodes.descriptors.openCount > limit {
            usleep(1_000)
            fixture.mirror.asRequest { _ = try? fixture.lookup("none") }
        }
    }

    private func request<R>(_ body: () throws -> R) rethrows -> R {
        try mirror.asRequest(body)
    }

    private func makeMany(_ count: Int) throws -> [NodeID] {
        let ids = try (0..<count).map { number in
            try request { try fixture.makeFile("file\(number)", "text \(number)").nodeID }
        }
        try settle()
        return ids
    }

    /// False where files have no handles, or may not be opened by them.
    private var parks: Bool { nodes.descriptors.openCount < 150 }

    @Test func parkedNodesAnswerAsBefore() throws {
        let ids = try makeMany(200)
        guard parks else { return }
        #expect(nodes.count == 201)
        for (number, id) in ids.enumerated() {
            try request { () throws in
                #expect(try fixture.attributes(id).st_size == "text \(number)".utf8.count)
                #expect(try fixture.lookup("file\(number)").nodeID == id)
                #expect(try fixture.content(id) == "text \(number)")
            }
        }
        try settle()
        #expect(nodes.descriptors.openCount < 150)
        for (number, id) in ids.enumerated() {
            try request { () throws in
                try mirror.removeFile(fixture.root, parent: 1, name: "file\(number)")
                #expect(try fixture.attributes(id).st_nlink == 0)
                #expect(try fixture.content(id) == "text \(number)")
            }
        }
        // Nothing but the descriptor keeps these: they stay open.
        try settle()
        for (number, id) in ids.enumerated() {
            try request { () throws in #expect(try fixture.content(id) == "text \(number)") }
            mirror.forget(node: id, count: 2)
        }
        #expect(nodes.count == 1)
        #expect(nodes.descriptors.openCount == 1)
    }

    /// Files that programs have open take the room of nodes, down to an eighth of their limit.
    @Test func openFilesPushNodesOut() throws {
        var options = MirrorFS.Options()
        options.openFiles = 400
        let fixture = try Fixture(options: options)
        let pool = fixture.nodes.descriptors
        let ids = try (0..<300).map { number in
            try fixture.mirror.asRequest { try fixture.makeFile("file\(number)").nodeID }
        }
        settle(fixture, 200)
        guard pool.openCount <= 200 else { return }
        #expect(pool.openCount > 100)
        let handles = try ids.map { id in
            try fixture.mirror.asRequest { () throws in
                try fixture.mirror.open(fixture.root, node: id, flags: O_RDWR).handle
            }
        }
        settle(fixture, 25)
        #expect(pool.openCount <= 25)
        for (id, handle) in zip(ids, handles) {
            fixture.mirror.asRequest { fixture.mirror.release(node: id, handle: handle) }
        }
        for id in ids {
            try fixture.mirror.asRequest { () throws in _ = try fixture.attributes(id) }
        }
        #expect(pool.openCount > 100)
    }

    @Test func directoriesCanBeParked() throws {
        let ids = try (0..<100).map { number in
            try request { () throws in
                let parent = try fixture.makeDirectory("directory\(number)").nodeID
                try fixture.makeFile("file", in: parent)
                return parent
            }
        }
        try settle()
        for (number, id) in ids.enumerated() {
            try request { () throws in
                _ = try fixture.lookup("file", in: id)
                try fixture.makeFile("other", in: id)
            }
            var found = stat()
            #expect(lstat(fixture.path("directory\(number)/other"), &found) == 0)
        }
    }

    /// Removed behind the mount, and the inode number given to another file.
    @Test func aParkedFileThatIsGoneIsNotTakenForAnother() throws {
        let ids = try makeMany(200)
        guard parks else { return }
        for number in 0..<200 { unlink(fixture.path("file\(number)")) }
        for number in 0..<200 {
            let fd = open(fixture.path("new\(number)"), O_CREAT | O_WRONLY, 0o600)
            #expect(fd >= 0)
            close(fd)
        }
        var gone = 0
        for number in 0..<200 {
            let entry = try request { try fixture.lookup("new\(number)") }
            #expect(!ids.contains(entry.nodeID))
            #expect(entry.attributes.st_mode & 0o777 == 0o600)
        }
        for id in ids {
            request {
                if (try? fixture.attributes(id)) != nil { return }
                #expect(throws: Errno.staleNFSFileHandle) { try fixture.attributes(id) }
                gone += 1
            }
        }
        #expect(gone > 50)
        for id in ids { mirror.forget(node: id, count: 1) }
        for number in 0..<200 {
            try request { () throws in
                let id = try fixture.lookup("new\(number)").nodeID
                #expect(try fixture.attributes(id).st_nlink == 1)
            }
        }
    }

    /// What a request has got from a node stays open until it ends, whatever is parked meanwhile.
    @Test func requestsUnderWayKeepWhatTheyUse() throws {
        let first = try #require(nodes.nodes.node(try fixture.makeFile("first", "x").nodeID))
        let token = mirror.requestBegins()
        let fd = first.fd
        for number in 0..<200 { _ = try request { try fixture.makeFile("file\(number)") } }
        usleep(50_000)
        #expect(fcntl(fd.rawValue, F_GETFD) >= 0)
        #expect(first.fd == fd)
        mirror.requestEnds(token)
        try settle()
        try request { () throws in #expect(try fixture.content(first.id) == "x") }
    }
}
