import FuseSession
import Glibc
import SystemPackage
import Testing

@testable import MirrorFS

/// The life of nodes: LOOKUP to FORGET.
@Suite struct NodeTests {
    let fixture: Fixture
    let mirror: MirrorFS
    let nodes: NodeTable

    init() throws {
        fixture = try Fixture()
        mirror = fixture.mirror
        nodes = fixture.nodes
    }

    private func openDescriptors() throws -> Int {
        let stream = try #require(opendir("/proc/self/fd"))
        defer { closedir(stream) }
        var count = 0
        while readdir(stream) != nil { count += 1 }
        return count
    }

    @Test func aNodeLivesAsLongAsItsLookups() throws {
        try fixture.makeDirectory("d")
        let node = try fixture.lookup("d").nodeID
        #expect(try fixture.lookup("d").nodeID == node)
        #expect(nodes.count == 2)
        mirror.forget(node: node, count: 2)
        #expect(nodes.count == 2)
        mirror.forget(node: node, count: 1)
        #expect(nodes.count == 1)
        #expect(throws: Errno.staleNFSFileHandle) { try fixture.attributes(node) }
    }

    @Test func nodeidsAreNeverReused() throws {
        try fixture.makeFile("file")
        var seen: Set<NodeID> = []
        for _ in 0..<100 {
            let node = try fixture.lookup("file").nodeID
            mirror.forget(node: node, count: 2)
            seen.insert(node)
        }
        // The first node carries the lookup of CREATE as well.
        #expect(seen.count == 100)
        #expect(!seen.contains(rootNodeID))
    }

    @Test func lookupsOfTheKernelCacheCount() throws {
        let node = try fixture.makeFile("file").nodeID
        nodes.credit(nodeid: node, lookups: 100)
        mirror.forget(node: node, count: 100)
        #expect(nodes.count == 2)
        mirror.forget(node: node, count: 1)
        #expect(nodes.count == 1)
        nodes.credit(nodeid: node, lookups: 1)
        nodes.credit(nodeid: 4711, lookups: .max)
    }

    @Test func theRootStays() throws {
        mirror.forget(node: rootNodeID, count: .max)
        #expect(try fixture.attributes(rootNodeID).st_mode & S_IFMT == S_IFDIR)
    }

    @Test func malformedForgetsDoNoHarm() throws {
        let node = try fixture.makeFile("file").nodeID
        mirror.forget(node: 4711, count: 1)
        mirror.forget(node: 0, count: .max)
        mirror.forget(node: node, count: 1 << 62)
        #expect(nodes.count == 1)
        #expect(try fixture.lookup("file").nodeID != node)
    }

    /// A FORGET that found its node just before that was removed, and the file has a new one since.
    @Test func aLateForgetLeavesTheNewNodeAlone() throws {
        let old = try #require(nodes.nodes.node(try fixture.makeFile("file").nodeID))
        mirror.forget(old, count: 1)
        let new = try fixture.lookup("file").nodeID
        mirror.forget(old, count: 1)
        #expect(nodes.nodes.node(old.identity)?.id == new)
        #expect(try fixture.lookup("file").nodeID == new)
        #expect(nodes.count == 2)
    }

    @Test func hardLinksAreOneNode() throws {
        let file = try fixture.makeFile("file", "content")
        let link = try mirror.makeLink(fixture.root, to: file.nodeID, parent: 1, name: "link")
        #expect(link.nodeID == file.nodeID)
        #expect(link.attributes.st_nlink == 2)
        try mirror.removeFile(fixture.root, parent: 1, name: "file")
        #expect(try fixture.attributes(file.nodeID).st_nlink == 1)
        #expect(try fixture.content(link.nodeID) == "content")
    }

    @Test func aReplacedFileLivesOn() throws {
        let old = try fixture.makeFile("old", "old").nodeID
        let new = try fixture.makeFile("new", "new").nodeID
        try mirror.rename(
            fixture.root, parent: 1, name: "new", newParent: 1, newName: "old", flags: 0)
        #expect(try fixture.lookup("old").nodeID == new)
        #expect(throws: Errno.noSuchFileOrDirectory) { try fixture.lookup("new") }
        #expect(try fixture.attributes(old).st_nlink == 0)
        #expect(try fixture.content(old) == "old")
        mirror.forget(node: old, count: 1)
        #expect(nodes.count == 2)
    }

    @Test func anUnlinkedFileLivesOn() throws {
        let node = try fixture.makeFile("file", "content").nodeID
        let file = try mirror.open(fixture.root, node: node, flags: O_RDWR)
        try mirror.removeFile(fixture.root, parent: 1, name: "file")
        try fixture.write("CON", to: node, file.handle)
        #expect(try fixture.read(node, file.handle) == "CONtent")
        let status = try fixture.attributes(node)
        #expect(status.st_nlink == 0 && status.st_size == 7)
        mirror.release(node: node, handle: file.handle)
        // The same name is another file now, whatever inode number it gets.
        #expect(try fixture.makeFile("file").nodeID != node)
    }

    @Test func theMountIsNotPartOfItself() throws {
        try fixture.makeFile("file")
        mirror.mounted(device: try status(fixture.source).st_dev)
        #expect(throws: Errno.tooManySymbolicLinkLevels) { try fixture.lookup("file") }
    }

    @Test(arguments: [".", ".."])
    func lookupDoesNotLeaveTheDirectory(_ name: String) {
        #expect(throws: Errno.invalidArgument) { try fixture.lookup(name) }
    }

    @Test func nodesHoldOneDescriptorEach() throws {
        // Other tests run in this process, so not one more or less: an order of magnitude.
        for number in 0..<500 { try fixture.makeFile("file-\(number)") }
        let opened = try openDescriptors()
        #expect(opened >= 500)
        for number in 0..<500 {
            let node = try fixture.lookup("file-\(number)").nodeID
            mirror.forget(node: node, count: 2)
        }
        #expect(nodes.count == 1)
    }

    /// Threads look up, forget, rename and unlink the same names: at the end no lookup is missing
    /// and none is left.
    @Test func lookupsAreCountedAcrossThreads() async throws {
        for number in 0..<8 { try fixture.makeFile("f\(number)") }
        for number in 0..<8 {
            mirror.forget(node: try fixture.lookup("f\(number)").nodeID, count: 2)
        }
        #expect(nodes.count == 1)
        let mirror = mirror
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    let context = RequestContext(uid: 0, gid: 0)
                    for round in 0..<5_000 {
                        let name = "f\((round &* 7 &+ worker) % 8)"
                        let other = "f\((round &* 5 &+ worker) % 8)"
                        if let entry = try? mirror.lookup(context, parent: 1, name: name) {
                            _ = try? mirror.attributes(context, of: entry.nodeID, handle: nil)
                            mirror.forget(node: entry.nodeID, count: 1)
                        }
                        switch round % 10 {
                        case 0:
                            try? mirror.rename(
                                context, parent: 1, name: name, newParent: 1, newName: other,
                                flags: 0)
                        case 1:
                            let made = try? mirror.create(
                                context, parent: 1, name: other, mode: S_IFREG | 0o644,
                                flags: O_WRONLY)
                            if let made {
                                mirror.release(
                                    node: made.entry.nodeID, handle: made.file.handle)
                                mirror.forget(node: made.entry.nodeID, count: 1)
                            }
                        case 2:
                            try? mirror.removeFile(context, parent: 1, name: name)
                        default: break
                        }
                    }
                }
            }
        }
        #expect(nodes.count == 1)
    }
}
