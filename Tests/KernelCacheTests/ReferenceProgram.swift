import CLibBPF
import CShortfuseABI
import Glibc
import SystemPackage

/// A BPF program of known work, to measure others against: it looks one key up in a hash map, as long
/// as a short name with its parent, so many times. Then it copies what it found, word by word.
final class ReferenceProgram {
    private let map: CInt
    /// An array of one value: what is copied goes there.
    private let target: CInt
    private let program: CInt
    private static let keyWords = 5

    /// - Parameters:
    ///   - lookups: of one run.
    ///   - words: of 8 bytes that it copies, up to 4095.
    ///   - nodes: keys in the map, from 2 on.
    init(lookups: Int, words: Int = 0, nodes: UInt64) throws(Errno) {
        let size = UInt32(Self.keyWords * 8)
        let valueWords = max(words, 1)
        // Room for far more, so that hardly two of them share a bucket.
        map = bpf_map_create(
            BPF_MAP_TYPE_HASH, "reference", size, UInt32(valueWords * 8), UInt32(nodes) * 16, nil)
        guard map >= 0 else { throw Errno(rawValue: -map) }
        target = bpf_map_create(
            BPF_MAP_TYPE_ARRAY, "target", 4, UInt32(valueWords * 8), 1, nil)
        guard target >= 0 else { throw Errno(rawValue: -target) }
        for node in 2..<nodes + 2 {
            var key = [node] + [UInt64](repeating: 0, count: Self.keyWords - 1)
            var value = [UInt64](repeating: node, count: valueWords)
            guard bpf_map_update_elem(map, &key, &value, 0) == 0 else {
                throw Errno(rawValue: errno)
            }
        }
        let code = Self.code(map: map, lookups: lookups, target: target, words: words)
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
        close(target)
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

    private static func code(
        map: CInt, lookups: Int, target: CInt, words: Int
    ) -> [bpf_insn] {
        // The key, on the stack: *(r1 + 0) and zeros.
        let start = Int16(-8 * keyWords)
        var code = [instruction(0x79, to: 6, from: 1)]
        code.append(instruction(0x7b, to: 10, from: 6, offset: start))
        for word in 1..<keyWords {
            code.append(instruction(0x7a, to: 10, offset: start + Int16(8 * word)))
        }
        for _ in 0..<lookups {
            code += lookup(in: map, key: start)
        }
        if words > 0 {
            // r7 = what was found; *(r10 - 4) = 0: the key of the target
            code.append(instruction(0xbf, to: 7, from: 0))
            code.append(instruction(0x62, to: 10, offset: -4))
            code += lookup(in: target, key: -4)
            for offset in (0..<Int16(words)).map({ $0 * 8 }) {
                code.append(instruction(0x79, to: 1, from: 7, offset: offset))
                code.append(instruction(0x7b, to: 0, from: 1, offset: offset))
            }
        }
        // r0 = 1; exit
        code.append(instruction(0xb7, to: 0, value: 1))
        code.append(instruction(0x95))
        return code
    }

    /// r0 = the value; ends the program with 0 if there is none.
    private static func lookup(in map: CInt, key: Int16) -> [bpf_insn] {
        [
            // r1 = map; r2 = r10 + key; call bpf_map_lookup_elem
            instruction(0x18, to: 1, from: 1, value: map),
            instruction(0),
            instruction(0xbf, to: 2, from: 10),
            instruction(0x07, to: 2, value: Int32(key)),
            instruction(0x85, value: 1),
            // if r0 != 0 goto the next but one; exit
            instruction(0x55, to: 0, offset: 1),
            instruction(0x95),
        ]
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
