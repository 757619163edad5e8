import CLibBPF
import CShortfuseABI
import Glibc
import SystemPackage

/// What the programs did with the requests of one opcode.
public struct OpcodeCounters: Sendable, Equatable {
    /// Replied in the kernel.
    public var answered: UInt64 = 0
    /// Not cached: passed to the daemon.
    public var passed: UInt64 = 0
    /// Malformed or not understood: passed to the daemon.
    public var refused: UInt64 = 0
}

extension KernelCache {
    /// Those that can be answered in the kernel.
    public static let opcodes: [UInt32] = BPFObject.opcodes

    /// The counters of this mount, by opcode; opcodes that never occurred are left out.
    public func counters() throws(KernelCacheError) -> [UInt32: OpcodeCounters] {
        try Self.counters(map: object.maps.counters)
    }

    /// The counters of any mount, from its pins.
    public static func counters(
        pinDirectory: String
    ) throws(KernelCacheError) -> [UInt32: OpcodeCounters] {
        let map = bpf_obj_get(pinDirectory + "/counters")
        guard map >= 0 else { throw .mapFailed(map: "counters", Errno(rawValue: errno)) }
        defer { Glibc.close(map) }
        return try counters(map: map)
    }

    /// Sums the processors' shares.
    private static func counters(
        map: CInt
    ) throws(KernelCacheError) -> [UInt32: OpcodeCounters] {
        let processors = libbpf_num_possible_cpus()
        guard processors > 0 else { throw .mapFailed(map: "counters", .notSupported) }
        var shares = [sf_counter](repeating: sf_counter(), count: Int(processors))
        var result: [UInt32: OpcodeCounters] = [:]
        for opcode in 0..<UInt32(SF_OPCODES.rawValue) {
            var key = opcode
            guard bpf_map_lookup_elem(map, &key, &shares) == 0 else {
                throw .mapFailed(map: "counters", Errno(rawValue: errno))
            }
            var sum = OpcodeCounters()
            for share in shares {
                sum.answered &+= share.answered
                sum.passed &+= share.passed
                sum.refused &+= share.refused
            }
            if sum != OpcodeCounters() { result[opcode] = sum }
        }
        return result
    }
}
