import CShortfuseABI
import FuseSession
import Glibc
import Logging
import MirrorFS
import SystemPackage
import Testing

@testable import KernelCache

/// A mirror with a real kernel cache, without module and mount: we are the kernel. Each question is
/// put to the BPF programs and, as a raw request, to the daemon.
final class Bench {
    let source: String
    let nodes = NodeTable()
    let cache: KernelCache
    let mirror: MirrorFS
    let channel: RawChannel
    let context = RequestContext(uid: geteuid(), gid: getegid())
    /// nlookup of each nodeid, as the kernel would count it.
    var lookups: [UInt64: UInt64] = [1: 1]
    var answered = 0
    /// Of them, names that do not exist.
    var absent = 0

    /// - Parameter slots: few, so that nodes fight for them.
    init(slots: Int = 64, names: Int = 64, dataBytes: Int = 1 << 20) throws {
        var template = Array("/tmp/coherence-test.XXXXXX".utf8CString)
        source = String(cString: try #require(mkdtemp(&template)))
        cache = try KernelCache(
            options: .init(slots: slots, names: names, dataBytes: dataBytes),
            logger: Logger(label: "test"),
            ledger: { [nodes] in nodes.credit(nodeid: $0, lookups: $1) })
        mirror = try MirrorFS(
            source: FilePath(source), nodes: nodes, coherence: Coherence(cache: cache))
        channel = try RawChannel(mirror)
    }

    deinit { _ = system("rm -rf '\(source)'") }

    /// LOOKUP by the daemon, counted.
    @discardableResult
    func lookup(_ parent: UInt64, _ name: [UInt8]) -> Reply? {
        let reply = channel.ask(.lookup, node: parent, body: Bytes(bytes: name + [0]))
        if let reply, reply.error == 0 { lookups[reply.body.u64(at: 0), default: 0] += 1 }
        return reply
    }

    func getattr(_ node: UInt64) -> Reply? {
        channel.ask(.getattr, node: node, body: Bytes().u32(0).u32(0).u64(0))
    }

    /// FORGET of all but `keeping` lookups.
    func forget(_ node: UInt64, keeping: UInt64 = 0) {
        let count = (lookups[node] ?? 0) - keeping
        guard count > 0 else { return }
        lookups[node] = keeping == 0 ? nil : keeping
        channel.send(2, node: node, body: Bytes().u64(count))
    }

    /// True if the programs pass, or answer as the daemon does: the same bytes.
    func agreeOnLookup(_ parent: UInt64, _ name: [UInt8]) throws -> Bool {
        let outcome = try cache.lookup(parent, name)
        if let error = outcome.error {
            answered += 1
            absent += 1
            return lookup(parent, name)?.error == error
        }
        guard let entry = outcome.reply else { return true }
        answered += 1
        lookups[entry.nodeid, default: 0] += 1
        guard let reply = lookup(parent, name), reply.error == 0 else { return false }
        return withUnsafeBytes(of: entry) { Array($0) } == reply.body
    }

    func agreeOnGetattr(_ node: UInt64) throws -> Bool {
        guard let attr = try cache.getattr(node).reply else { return true }
        answered += 1
        guard let reply = getattr(node), reply.error == 0 else { return false }
        return withUnsafeBytes(of: attr) { Array($0) } == reply.body
    }
}

extension RawChannel {
    /// As `lookup`, for a directory known to be there.
    static func nodeid(_ reply: Reply?) throws -> UInt64 {
        try #require(reply?.error == 0 ? reply?.body.u64(at: 0) : nil)
    }
}
