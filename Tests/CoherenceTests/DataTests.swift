import CShortfuseABI
import FuseSession
import Glibc
import SeededRandom
import SystemPackage
import Testing

@testable import KernelCache

/// C5 for data: random changes of a few files through the daemon, and after each a READ of a random
/// range, an OPEN and questions for extended attributes put to the programs and to the daemon.
@Suite struct DataTests {
    static let files = (0..<6).map { "f\($0)" }

    enum Fault { case none, noInvalidation, mapCleared }

    struct Result {
        var differences = 0
        var answered = 0
        var read = 0
    }

    /// - Parameter fault: `noInvalidation` changes SOURCE past the daemon.
    private func run(
        seed: UInt64, operations: Int, fault: Fault = .none
    ) throws -> Result {
        var random = SplitMix64(seed: seed)
        // Little room, so that blocks fight for it.
        let bench = try Bench(slots: 64, names: 64, dataBytes: 64 * MemoryLayout<sf_block>.stride)
        var nodes: [UInt64] = []
        for name in Self.files {
            close(Glibc.open(bench.source + "/" + name, O_WRONLY | O_CREAT, 0o644))
            nodes.append(try RawChannel.nodeid(bench.lookup(1, Array(name.utf8))))
        }
        var result = Result()
        for _ in 0..<operations {
            let index = Int.random(in: 0..<nodes.count, using: &random)
            let other = Int.random(in: 0..<nodes.count, using: &random)
            let change = DataChange.random(using: &random)
            if fault == .noInvalidation {
                change.apply(at: bench.source + "/" + Self.files[index])
            } else {
                change.apply(to: bench, nodes[index], from: nodes[other])
            }
            if fault == .mapCleared {
                for block in 0..<Int(bench.cache.dataSets) * Int(SF_WAYS.rawValue) {
                    bench.cache.blocks[block].nodeid = 0
                }
            }
            for node in [nodes[index], nodes[other]] {
                let offset = UInt64.random(in: 0..<40_000, using: &random)
                let size = Int.random(in: 1...20_000, using: &random)
                let aligned = Bool.random(using: &random)
                try bench.compareRead(
                    node, aligned ? offset & ~4095 : offset,
                    aligned ? (size + 4095) & ~4095 : size, &result)
                try bench.compareOpen(node, &result)
                try bench.compareXattr(node, "user.a", size: size % 40, &result)
            }
        }
        return result
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func sameBytes(_ seed: UInt64) throws {
        let result = try run(seed: seed, operations: 12_500)
        print("data: \(result)")
        #expect(result.differences == 0)
        #expect(result.read > 5000, "the programs hardly answered: the test shows nothing")
    }

    @Test func withoutInvalidationAnswersDiffer() throws {
        #expect(try run(seed: 5, operations: 2000, fault: .noInvalidation).differences > 0)
    }

    /// The other twin: without data in the map nothing but ends of files is answered.
    @Test func aClearedMapAnswersNothing() throws {
        let result = try run(seed: 6, operations: 2000, fault: .mapCleared)
        #expect(result.differences == 0)
        // The second of each pair, published just now.
        #expect(result.read < 4000)
    }
}

extension Bench {
    /// The daemon's READ, which publishes.
    private func read(_ node: UInt64, _ offset: UInt64, _ size: Int) -> [UInt8]? {
        let body = Bytes().u64(sf_fh_reserved).u64(offset).u32(UInt32(size)).u32(0).u64(0).u32(0)
            .u32(0)
        guard let reply = channel.ask(.read, node: node, body: body), reply.error == 0 else {
            return nil
        }
        return reply.body
    }

    func compareRead(
        _ node: UInt64, _ offset: UInt64, _ size: Int, _ result: inout DataTests.Result
    ) throws {
        let before = try cache.read(node, offset, size)
        let wanted = read(node, offset, size)
        // Once more, now that the daemon has published it.
        for got in [before, try cache.read(node, offset, size)] {
            guard let got else { continue }
            result.answered += 1
            if !got.isEmpty { result.read += 1 }
            if got != wanted { result.differences += 1 }
        }
    }

    func compareOpen(_ node: UInt64, _ result: inout DataTests.Result) throws {
        // O_LARGEFILE, as open(2) has it.
        let body = Bytes().u32(0o100000).u32(0)
        guard let got = try cache.open(node).reply else {
            _ = channel.ask(.open, node: node, body: body)
            return
        }
        result.answered += 1
        let wanted = channel.ask(.open, node: node, body: body)
        if withUnsafeBytes(of: got, { Array($0) }) != wanted?.body { result.differences += 1 }
    }

    func compareXattr(
        _ node: UInt64, _ name: String, size: Int, _ result: inout DataTests.Result
    ) throws {
        let outcome = try cache.xattr(node, name, size: size)
        let wanted = channel.ask(
            .getxattr, node: node, body: Bytes().u32(UInt32(size)).u32(0).name(name))
        switch outcome {
        case .pass: return
        case .answer(let bytes): if bytes != wanted?.body { result.differences += 1 }
        case .failure(let error): if error != wanted?.error { result.differences += 1 }
        }
        result.answered += 1
    }
}

/// A change of a file's data, or of what else is cached with it.
enum DataChange {
    case write(Int64, [UInt8])
    case append([UInt8])
    case truncate(Int64)
    case punch(Int64, Int64)
    case empty
    case copy(Int64, Int64, Int)
    case setXattr([UInt8])
    case removeXattr
    case mode(mode_t)
    case nothing

    static func random(using random: inout SplitMix64) -> DataChange {
        func below(_ limit: Int64) -> Int64 { Int64.random(in: 0..<limit, using: &random) }
        let bytes = [UInt8](repeating: UInt8(below(256)), count: Int(below(9000)))
        switch below(12) {
        case 0: return .write(below(40_000), bytes)
        case 1: return .append(bytes)
        case 2: return .truncate(below(40_000))
        case 3: return .punch(below(30_000), 1 + below(9000))
        case 4: return .empty
        case 5: return .copy(below(20_000), below(20_000), 1 + Int(below(9000)))
        case 6: return .setXattr(Array(bytes.prefix(Int(below(120)))))
        case 7: return .removeXattr
        case 8: return .mode(mode_t(0o400 + below(0o377)))
        default: return .nothing
        }
    }

    /// Through the daemon.
    func apply(to bench: Bench, _ node: UInt64, from source: UInt64) {
        let mirror = bench.mirror
        let context = bench.context
        func withFile(_ body: (FileHandle) throws(Errno) -> Void) {
            guard let file = try? mirror.open(context, node: node, flags: O_RDWR) else { return }
            try? body(file.handle)
            mirror.release(node: node, handle: file.handle)
        }
        func write(_ offset: Int64, _ bytes: [UInt8], appends: Bool) {
            withFile { (handle) throws(Errno) in
                _ = bytes.withUnsafeBytes {
                    try? mirror.write(
                        context, node: node, handle: handle, offset: offset, appends: appends,
                        from: WriteSource($0))
                }
            }
        }
        func set(_ body: (inout AttributeChanges) -> Void) {
            var changes = AttributeChanges()
            body(&changes)
            _ = try? mirror.setAttributes(context, of: node, handle: nil, to: changes)
        }
        switch self {
        case .write(let offset, let bytes): write(offset, bytes, appends: false)
        case .append(let bytes): write(0, bytes, appends: true)
        case .truncate(let size): set { $0.size = size }
        case .mode(let mode): set { $0.mode = mode }
        case .punch(let offset, let length):
            withFile { (handle) throws(Errno) in
                // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                try mirror.allocate(
                    context, node: node, handle: handle, mode: 3, offset: offset, length: length)
            }
        case .empty:
            if let file = try? mirror.open(context, node: node, flags: O_WRONLY | O_TRUNC) {
                mirror.release(node: node, handle: file.handle)
            }
        case .copy(let from, let to, let count):
            guard let reader = try? mirror.open(context, node: source, flags: O_RDONLY) else {
                return
            }
            withFile { (handle) throws(Errno) in
                _ = try mirror.copyRange(
                    context, from: FileRange(node: source, handle: reader.handle, offset: from),
                    to: FileRange(node: node, handle: handle, offset: to), count: count, flags: 0)
            }
            mirror.release(node: source, handle: reader.handle)
        case .setXattr(let value):
            value.withUnsafeBytes {
                try? mirror.setExtendedAttribute(
                    context, of: node, name: "user.a", to: $0, flags: 0)
            }
        case .removeXattr:
            try? mirror.removeExtendedAttribute(context, of: node, name: "user.a")
        case .nothing: break
        }
    }

    /// Directly in SOURCE.
    func apply(at path: String) {
        let fd = Glibc.open(path, O_RDWR)
        defer { close(fd) }
        switch self {
        case .write(let offset, let bytes): _ = pwrite(fd, bytes, bytes.count, off_t(offset))
        case .append(let bytes): _ = pwrite(fd, bytes, bytes.count, lseek(fd, 0, SEEK_END))
        case .truncate(let size): ftruncate(fd, off_t(size))

        case .empty: ftruncate(fd, 0)
        case .mode(let mode): fchmod(fd, mode)
        case .punch, .copy, .setXattr, .removeXattr, .nothing: break
        }
    }
}
