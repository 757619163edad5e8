import CLibBPF
import CShortfuseABI
import Glibc
import SystemPackage

/// A BPF program of known work, to measure others against: it looks one key up in a hash map, as long
/// as a short name with its parent, so many times.
final class ReferenceProgram {
    private let map: CInt
    private let program: CInt
    private static let keyWords = 5

    /// - Parameters:
    ///   - lookups: of one run.
    ///   - nodes: keys in the map, from 2 on.
    init(lookups: Int, nodes: UInt64) throws(Errno) {
        let size = UInt32(Self.keyWords * 8)
        // Room for far more, so that hardly two of them share a bucket.
        map = bpf_map_create(
            BPF_MAP_TYPE_HASH, "reference", size, 8, UInt32(nodes) * 16, nil)
        guard map >= 0 else { throw Errno(rawValue: -map) }
        for node in 2..<nodes + 2 {
            var key = [node] + [UInt64](repeating: 0, count: Self.keyWords - 1)
            var value = node
            guard bpf_map_update_elem(map, &key, &value, 0) == 0 else {
                throw Errno(rawValue: errno)
            }
        }
        let code = Self.code(map: map, lookups: lookups)
        var options = bpf_prog_load_opts()
        options.sz = MemoryLayout<bpf_prog_load_opts>.size
        options.prog_flags = UInt32(BPF_F_SLEEPABLE)
        program = bpf_prog_load(
            BPF_PROG_TYPE_SYSCALL, "reference", "Dual MIT/GPL", code, code.count, &options)
        guard program >= 0 else { throw Errno(rawValue: -program) }
    }

    deinit {
        close(program)
        close(map)
    }

    /// - Returns: true if each look-up found the key of `node`.
    func run(_ node: UInt64) -> Bool {
        var context = node
        var found: UInt32 = 0
        return shim_prog_run(program, &context, 8, &found) == 0 && found == 1
    }

    func statistics() throws(Errno) -> (runs: UInt64, nanoseconds: UInt64) {
        var info = bpf_prog_info()
        var size = UInt32(MemoryLayout<bpf_prog_info>.size)
        let error = bpf_obj_get_info_by_fd(program, &info, &size)
        guard error == 0 else { throw Errno(rawValue: -error) }
        return (info.run_cnt, info.run_time_ns)
    }

    // MARK: Its code

    private static func code(map: CInt, lookups: Int) -> [bpf_insn] {
        // The key, on the stack: *(r1 + 0) and zeros.
        let start = Int16(-8 * keyWords)
        var code = [instruction(0x79, to: 6, from: 1)]
        code.append(instruction(0x7b, to: 10, from: 6, offset: start))
        for word in 1..<keyWords {
            code.append(instruction(0x7a, to: 10, offset: start + Int16(8 * word)))
        }
        for round in 0..<lookups {
            // r1 = map; r2 = r10 + start; call bpf_map_lookup_elem
            code.append(instruction(0x18, to: 1, from: 1, value: map))
            code.append(instruction(0))
            code.append(instruction(0xbf, to: 2, from: 10))
            code.append(instruction(0x07, to: 2, value: Int32(start)))
            code.append(instruction(0x85, value: 1))
            // Not found: to the end with 0. A look-up has 6 instructions, and 1 stands before the end.
            let left = Int16(6 * (lookups - 1 - round) + 1)
            code.append(instruction(0x15, to: 0, offset: left))
        }
        // r0 = 1; exit
        code.append(instruction(0xb7, to: 0, value: 1))
        code.append(instruction(0x95))
        return code
    }

    private static func instruction(
        _ code: UInt8, to: UInt8 = 0, from: UInt8 = 0, offset: Int16 = 0, value: Int32 = 0
    ) -> bpf_insn {
        var result = bpf_insn()
        result.code = code
        result.dst_reg = to
        result.src_reg = from
        result.off = offset
        result.imm = value
        return result
    }
}
