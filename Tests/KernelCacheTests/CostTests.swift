import CShortfuseABI
import Testing

@testable import KernelCache

/// The programs' own cost per answer, from the kernel's statistics, over a working set of nodes
/// visited in a scattered order. Each figure is the best of several blocks: other load only adds.
@Suite(.serialized) struct CostTests {
    struct Case: CustomTestStringConvertible {
        var opcode: fuse_opcode
        var nameLength = 0
        var nodes: UInt64
        /// Nanoseconds; nil: only printed.
        var target: Double?

        var testDescription: String {
            let what = opcode == FUSE_GETATTR ? "GETATTR" : "LOOKUP of \(nameLength) bytes"
            return "\(what) over \(nodes) nodes"
        }
    }

    static let cases = [
        Case(opcode: FUSE_GETATTR, nodes: 1000, target: 150),
        Case(opcode: FUSE_GETATTR, nodes: 50_000),
        Case(opcode: FUSE_LOOKUP, nameLength: 8, nodes: 1000, target: 250),
        Case(opcode: FUSE_LOOKUP, nameLength: 32, nodes: 1000, target: 250),
        Case(opcode: FUSE_LOOKUP, nameLength: 8, nodes: 50_000),
        Case(opcode: FUSE_LOOKUP, nameLength: 255, nodes: 1000),
    ]

    @Test(arguments: cases) func cost(_ test: Case) throws {
        let runs = 20_000
        let cache = try makeCache(slots: 1 << 16, names: 1 << 17)
        let name = [UInt8](repeating: 0x61, count: test.nameLength)
        for node in 2..<test.nodes + 2 {
            cache.publishAttributes(nodeid: node, attributes: attributes(node))
            if test.nameLength > 0 { cache.publishName(node, name, node) }
        }

        let opcode = test.opcode.rawValue
        let statistics = try BPFStatistics()
        defer { withExtendedLifetime(statistics) {} }
        var best = Double.infinity
        var passes = 0
        var node: UInt64 = 0
        for _ in 0..<10 {
            let before = try cache.statistics(opcode: opcode)
            for _ in 0..<runs {
                node = (node &+ 7919) % test.nodes
                let isPass =
                    test.opcode == FUSE_GETATTR
                    ? try cache.getattr(node + 2).isPass : try cache.lookup(node + 2, name).isPass
                if isPass { passes += 1 }
            }
            let after = try cache.statistics(opcode: opcode)
            #expect(after.runs - before.runs == UInt64(runs))
            best = min(best, Double(after.nanoseconds - before.nanoseconds) / Double(runs))
        }
        print("cost: \(test.testDescription): \(Int(best)) ns")
        #expect(passes == 0)
        if let target = test.target { #expect(best <= target) }
    }
}
