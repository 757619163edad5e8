import CShortfuseABI
import Glibc
import Logging
import Synchronization
import SystemPackage

@testable import KernelCache

/// What the ledger was told, in order.
final class RecordingLedger: Sendable {
    struct Entry: Equatable {
        var nodeid: UInt64
        var lookups: UInt64
    }
    private let entries = Mutex<[Entry]>([])

    func add(_ nodeid: UInt64, _ lookups: UInt64) {
        entries.withLock { $0.append(Entry(nodeid: nodeid, lookups: lookups)) }
    }
    var all: [Entry] { entries.withLock { $0 } }
    var total: UInt64 { entries.withLock { $0.reduce(0) { $0 + $1.lookups } } }
}

func makeCache(
    slots: Int = 64, names: Int = 1024, dataBytes: Int = 1 << 20,
    ledger: RecordingLedger = RecordingLedger()
) throws -> KernelCache {
    try KernelCache(
        options: .init(slots: slots, names: names, dataBytes: dataBytes),
        logger: Logger(label: "test"),
        ledger: { ledger.add($0, $1) })
}

/// What a program made of a request.
enum Outcome<Reply> {
    case pass
    case answer(Reply)
    /// A negative errno.
    case failure(Int32)

    var isPass: Bool { if case .pass = self { true } else { false } }
    var error: Int32? { if case .failure(let error) = self { error } else { nil } }
    var reply: Reply? { if case .answer(let reply) = self { reply } else { nil } }
}

extension KernelCache {
    /// Runs a program as the hook would for this request.
    func ask<Reply>(
        opcode: UInt32, nodeid: UInt64, input: [UInt8], reply: Reply.Type,
        outSize: Int = MemoryLayout<Reply>.size, change: (inout sf_ctx) -> Void = { _ in }
    ) throws -> Outcome<Reply> {
        var context = sf_ctx()
        context.opcode = opcode
        context.nodeid = nodeid
        context.in_size = UInt32(input.count)
        context.out_size = UInt32(outSize)
        withUnsafeMutableBytes(of: &context.in) { $0.copyBytes(from: input.prefix($0.count)) }
        change(&context)
        let verdict = try withUnsafeMutableBytes(of: &context) {
            try run(opcode: opcode, context: $0)
        }
        guard verdict == SF_ANSWER.rawValue else { return .pass }
        if context.error != 0 { return .failure(context.error) }
        return withUnsafeBytes(of: &context.out) { .answer($0.loadUnaligned(as: Reply.self)) }
    }

    func lookup(
        _ parent: UInt64, _ name: [UInt8], change: (inout sf_ctx) -> Void = { _ in }
    ) throws -> Outcome<fuse_entry_out> {
        try ask(
            opcode: FUSE_LOOKUP.rawValue, nodeid: parent, input: name + [0],
            reply: fuse_entry_out.self, change: change)
    }

    func getattr(
        _ nodeid: UInt64, change: (inout sf_ctx) -> Void = { _ in }
    ) throws -> Outcome<fuse_attr_out> {
        try ask(
            opcode: FUSE_GETATTR.rawValue, nodeid: nodeid,
            input: .init(repeating: 0, count: MemoryLayout<fuse_getattr_in>.size),
            reply: fuse_attr_out.self, change: change)
    }

    /// As at the first publish of a node.
    func publishAttributes(nodeid: UInt64, attributes: stat) {
        publishAttributes(
            nodeid: nodeid, attributes: attributes, versions: Versions(at: 1), in: epoch)
    }

    func publishName(_ parent: UInt64, _ name: [UInt8], _ nodeid: UInt64) {
        (name + [0]).withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                guard let start = $0.baseAddress else { return }
                publishName(parent: parent, name: start, nodeid: nodeid, in: epoch)
            }
        }
    }

    func revokeName(_ parent: UInt64, _ name: [UInt8]) {
        (name + [0]).withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) {
                guard let start = $0.baseAddress else { return }
                revokeName(parent: parent, name: start)
            }
        }
    }
}

extension Versions {
    /// At `version`; `kept` and `mayOpen` as after the daemon's first OPEN.
    init(at version: UInt64, xattrs: UInt32 = 0, kept: UInt64? = nil, mayOpen: Bool = true) {
        self.init()
        self.version = version
        self.xattrVersion = xattrs
        self.kept = kept ?? version
        self.mayOpen = mayOpen
    }
}

/// Attributes in which every field is derived from `seed`, so that a mixture of two is seen.
func attributes(_ seed: UInt64) -> stat {
    var attributes = stat()
    attributes.st_ino = UInt(seed)
    attributes.st_size = Int(seed)
    attributes.st_blocks = Int(seed)
    attributes.st_mode = UInt32(truncatingIfNeeded: seed)
    attributes.st_nlink = UInt(seed & 0xffff_ffff)
    attributes.st_uid = UInt32(truncatingIfNeeded: seed)
    attributes.st_gid = UInt32(truncatingIfNeeded: seed)
    attributes.st_rdev = UInt(seed & 0xffff_ffff)
    attributes.st_blksize = Int(seed & 0xffff_ffff)
    attributes.st_atim = timespec(tv_sec: Int(seed), tv_nsec: Int(seed & 0xffff_ffff))
    attributes.st_mtim = attributes.st_atim
    attributes.st_ctim = attributes.st_atim
    return attributes
}

/// True if all fields are of one `attributes(seed)`.
func isWhole(_ attr: fuse_attr) -> Bool {
    let seed = attr.ino
    let low = UInt32(truncatingIfNeeded: seed)
    return attr.size == seed && attr.blocks == seed && attr.atime == seed && attr.mtime == seed
        && attr.ctime == seed && attr.atimensec == low && attr.mtimensec == low
        && attr.ctimensec == low && attr.mode == low && attr.nlink == low && attr.uid == low
        && attr.gid == low && attr.rdev == low && attr.blksize == low && attr.flags == 0
}
