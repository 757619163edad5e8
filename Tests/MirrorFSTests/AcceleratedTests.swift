import CShortfuseABI
import FuseSession
import Glibc
import Logging
import SystemPackage
import Testing

@testable import KernelCache
@testable import MirrorFS

/// The mirror with a kernel cache.
@Suite(.enabled(if: geteuid() == 0)) final class AcceleratedTests {
    private let source: String
    private let cache: KernelCache
    private let mirror: MirrorFS
    private let root = RequestContext(uid: geteuid(), gid: getegid())

    init() throws {
        var template = Array("/tmp/mirror-test.XXXXXX".utf8CString)
        source = String(cString: try #require(mkdtemp(&template)))
        let nodes = NodeTable()
        cache = try KernelCache(
            options: .init(slots: 64, names: 64, dataBytes: 1 << 20), logger: Logger(label: "test"),
            ledger: { nodes.credit(nodeid: $0, lookups: $1) })
        mirror = try MirrorFS(
            source: FilePath(source), nodes: nodes, coherence: Coherence(cache: cache))
    }

    deinit { removeTree(source) }

    private func cachedMode(_ node: NodeID) throws -> mode_t? {
        try cache.getattr(node).reply.map { mode_t($0.attr.mode) & 0o7777 }
    }

    enum Moment: CaseIterable {
        case release, releaseOfReader, sync, syncOfData
    }

    /// SOURCE changes attributes by itself at these moments. Here the change comes from behind the
    /// mount, because not every file system makes one.
    @Test(arguments: Moment.allCases)
    func attributesAreReadAgain(_ moment: Moment) throws {
        let (entry, created) = try mirror.create(
            root, parent: rootNodeID, name: "file", mode: S_IFREG | 0o644, flags: O_RDWR)
        let node = entry.nodeID
        // The daemon itself opens only what the kernel may not.
        let reader = try mirror.open(root, node: node, flags: O_RDONLY | Flag.noAccessTime)
        #expect(try cachedMode(node) == 0o644)
        try #require(chmod(source + "/file", 0o600) == 0)
        #expect(try cachedMode(node) == 0o644)

        switch moment {
        case .release: mirror.release(node: node, handle: created.handle)
        case .releaseOfReader: mirror.release(node: node, handle: reader.handle)
        case .sync, .syncOfData:
            try mirror.sync(
                root, node: node, handle: created.handle, dataOnly: moment == .syncOfData)
        }
        #expect(try cachedMode(node) == 0o600)

        if moment != .release { mirror.release(node: node, handle: created.handle) }
        if moment != .releaseOfReader { mirror.release(node: node, handle: reader.handle) }
    }

    /// As an interrupted request makes it, after its node was forgotten.
    @Test func aChangeByAnOldNodeConcernsTheNewOne() throws {
        let made = try mirror.makeNode(
            root, parent: rootNodeID, name: "file", mode: S_IFREG | 0o644, device: 0)
        let old = try mirror.node(made.nodeID)
        mirror.forget(node: old.id, count: 1)
        let new = try mirror.lookup(root, parent: rootNodeID, name: "file").nodeID
        #expect(new != old.id)
        #expect(try cachedMode(new) == 0o644)
        try mirror.change(old, []) { () throws(Errno) in }
        #expect(try cachedMode(new) == nil)
    }
}
