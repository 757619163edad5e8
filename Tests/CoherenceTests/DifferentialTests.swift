import CShortfuseABI
import FuseSession
import Glibc
import SeededRandom
import SystemPackage
import Testing

@testable import KernelCache

/// C5: for every request that the programs answer, the daemon asked at that moment gives the same
/// bytes. Random changes through the daemon, and after each some questions to both.
@Suite struct DifferentialTests {
    /// What goes wrong on purpose.
    enum Fault {
        case none
        /// Changes reach SOURCE past the daemon, so nothing is revoked.
        case noInvalidation
        /// A published attribute is changed in the map.
        case corruptedEntry
    }

    static let names: [[UInt8]] =
        (0..<8).map { Array("n\($0)".utf8) } + [
            Array("a name of more than thirty-two bytes, so a long one".utf8),
            .init(repeating: 0x7a, count: 255), [0xff, 0xfe, 0xfd],
        ]

    /// Returns how many answers differed, and how many there were.
    private func run(
        seed: UInt64, operations: Int, fault: Fault = .none
    ) throws -> (differences: Int, answered: Int) {
        var random = SplitMix64(seed: seed)
        let bench = try Bench()
        var directories: [UInt64] = [1]
        var paths = [bench.source]
        for name in ["d1", "d2"] {
            paths.append(bench.source + "/" + name)
            try #require(mkdir(paths[paths.count - 1], 0o755) == 0)
            directories.append(try RawChannel.nodeid(bench.lookup(1, Array(name.utf8))))
        }

        var differences = 0
        for _ in 0..<operations {
            let here = Int.random(in: 0..<directories.count, using: &random)
            let there = Int.random(in: 0..<directories.count, using: &random)
            guard let name = Self.names.randomElement(using: &random),
                let other = Self.names.randomElement(using: &random)
            else { continue }
            let change = Change.allCases.randomElement(using: &random)
            if fault == .noInvalidation {
                change?.apply(at: paths[here], name, paths[there], other)
            } else {
                change?.apply(
                    to: bench, directories[here], name, directories[there], other, &random)
            }
            if fault == .corruptedEntry, Int.random(in: 0..<20, using: &random) == 0 {
                bench.cache.slots[Int.random(in: 0..<64, using: &random)].attr.size &+= 1
            }
            for _ in 0..<2 {
                let parent = directories[Int.random(in: 0..<directories.count, using: &random)]
                let name = Self.names.randomElement(using: &random) ?? other
                if try !bench.agreeOnLookup(parent, name) { differences += 1 }
                if Bool.random(using: &random) { bench.lookup(parent, name) }
                if let node = bench.lookups.keys.sorted().randomElement(using: &random) {
                    if try !bench.agreeOnGetattr(node) { differences += 1 }
                    if Bool.random(using: &random) { _ = bench.getattr(node) }
                    if node > 3, Int.random(in: 0..<16, using: &random) == 0 {
                        bench.forget(node, keeping: Bool.random(using: &random) ? 1 : 0)
                    }
                }
            }
        }

        // Node life: when all is forgotten, nothing but the root is left.
        for node in bench.lookups.keys where node != 1 { bench.forget(node) }
        if fault == .none {
            #expect(bench.nodes.count == 1)
            #expect(bench.absent > operations / 20, "absent names were hardly answered")
        }
        return (differences, bench.answered)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func sameBytes(_ seed: UInt64) throws {
        let (differences, answered) = try run(seed: seed, operations: 5000)
        #expect(differences == 0)
        #expect(answered > 2000, "the programs hardly answered: the test shows nothing")
    }

    @Test func withoutInvalidationAnswersDiffer() throws {
        #expect(try run(seed: 5, operations: 2000, fault: .noInvalidation).differences > 0)
    }

    @Test func corruptedEntriesDiffer() throws {
        #expect(try run(seed: 6, operations: 2000, fault: .corruptedEntry).differences > 0)
    }
}

/// A change of names or attributes.
enum Change: CaseIterable {
    case create, makeDirectory, makeSymlink, link, remove, removeDirectory, rename, exchange, chmod,
        chown, truncate, touch, write, setXattr

    /// Through the daemon. Errors are part of the game.
    func apply(
        to bench: Bench, _ parent: UInt64, _ name: [UInt8], _ newParent: UInt64,
        _ newName: [UInt8], _ random: inout SplitMix64
    ) {
        let mirror = bench.mirror
        let context = bench.context
        func counted(_ entry: Entry?) {
            if let entry { bench.lookups[entry.nodeID, default: 0] += 1 }
        }
        func node() -> UInt64? {
            bench.lookup(parent, name).flatMap { $0.error == 0 ? $0.body.u64(at: 0) : nil }
        }
        func set(_ body: (inout AttributeChanges) -> Void) {
            var changes = AttributeChanges()
            body(&changes)
            guard let node = node() else { return }
            _ = try? mirror.setAttributes(context, of: node, handle: nil, to: changes)
        }
        name.withCString { name in
            newName.withCString { newName in
                switch self {
                case .create:
                    if let (entry, file) = try? mirror.create(
                        context, parent: parent, name: name, mode: S_IFREG | 0o644, flags: O_RDWR)
                    {
                        counted(entry)
                        mirror.release(node: entry.nodeID, handle: file.handle)
                    }
                case .makeDirectory:
                    counted(
                        try? mirror.makeDirectory(
                            context, parent: parent, name: name, mode: 0o755))
                case .makeSymlink:
                    counted(
                        try? mirror.makeSymlink(
                            context, parent: parent, name: name, target: "target"))
                case .link:
                    guard let node = node() else { return }
                    counted(
                        try? mirror.makeLink(
                            context, to: node, parent: newParent, name: newName))
                case .remove:
                    try? mirror.removeFile(context, parent: parent, name: name)
                case .removeDirectory:
                    try? mirror.removeDirectory(context, parent: parent, name: name)
                case .rename, .exchange:
                    try? mirror.rename(
                        context, parent: parent, name: name, newParent: newParent,
                        newName: newName, flags: self == .exchange ? 2 : 0)
                case .chmod:
                    let mode = mode_t.random(in: 0o600...0o777, using: &random)
                    set { $0.mode = mode }
                case .chown: set { $0.uid = 17 }
                case .truncate:
                    let size = Int64.random(in: 0..<10_000, using: &random)
                    set { $0.size = size }
                case .touch:
                    set { $0.modificationTime = .at(seconds: 1_000_000_000, nanoseconds: 42) }
                case .write:
                    guard let node = node(),
                        let file = try? mirror.open(context, node: node, flags: O_WRONLY)
                    else { return }
                    _ = [UInt8](repeating: 1, count: 100).withUnsafeBytes { bytes in
                        try? mirror.write(
                            context, node: node, handle: file.handle, offset: 0,
                            appends: false, from: WriteSource(bytes))
                    }
                    mirror.release(node: node, handle: file.handle)
                case .setXattr:
                    guard let node = node() else { return }
                    let value: [UInt8] = [1, 2, 3]
                    value.withUnsafeBytes {
                        try? mirror.setExtendedAttribute(
                            context, of: node, name: "user.test", to: $0, flags: 0)
                    }
                }
            }
        }
    }

    /// Directly in SOURCE: the twin without invalidation.
    func apply(at parent: String, _ name: [UInt8], _ newParent: String, _ newName: [UInt8]) {
        let path = Array(parent.utf8) + [0x2f] + name
        let newPath = Array(newParent.utf8) + [0x2f] + newName
        path.withCString { path in
            newPath.withCString { newPath in
                switch self {
                case .create, .write: close(open(path, O_RDWR | O_CREAT, 0o644))
                case .makeDirectory: mkdir(path, 0o755)
                case .makeSymlink: symlink("target", path)
                case .link: Glibc.link(path, newPath)
                case .remove: unlink(path)
                case .removeDirectory: rmdir(path)
                case .rename, .exchange: Glibc.rename(path, newPath)
                case .chmod: Glibc.chmod(path, 0o640)
                case .truncate, .touch, .chown, .setXattr: Glibc.truncate(path, 777)
                }
            }
        }
    }
}

extension [UInt8] {
    /// As a NUL-terminated C string.
    @discardableResult
    func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
        (self + [0]).withUnsafeBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { chars in
                chars.baseAddress.map(body) ?? body("")
            }
        }
    }
}
