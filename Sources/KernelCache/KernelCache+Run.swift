import CLibBPF
import CShortfuseABI
import Glibc
import SystemPackage

extension KernelCache {
    /// Runs the program of an opcode on the given context, as the hook would: for tests without
    /// module and mount.
    ///
    /// - Parameters:
    ///   - opcode: `FUSE_*` of <linux/fuse.h>.
    ///   - context: the bytes of a struct sf_ctx; may be shorter or longer in tests of that. The
    ///     program changes it in place.
    /// - Returns: the program's verdict (enum sf_verdict).
    /// - Throws: `EINVAL` if no program answers this opcode, otherwise what bpf(2) throws.
    public func run(
        opcode: UInt32, context: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> UInt32 {
        guard let program = object.programs.first(where: { $0.opcode == opcode }) else {
            throw .invalidArgument
        }
        var verdict: UInt32 = 0
        let error = shim_prog_run(
            program.fd, context.baseAddress, UInt32(context.count), &verdict)
        guard error == 0 else { throw Errno(rawValue: -error) }
        return verdict
    }

    /// The kernel's statistics of the program of `opcode`: runs and nanoseconds. Only while
    /// statistics are on (`BPFStatistics`, or sysctl kernel.bpf_stats_enabled).
    public func statistics(opcode: UInt32) throws(Errno) -> (runs: UInt64, nanoseconds: UInt64) {
        guard let program = object.programs.first(where: { $0.opcode == opcode }) else {
            throw .invalidArgument
        }
        var info = bpf_prog_info()
        var size = UInt32(MemoryLayout<bpf_prog_info>.size)
        let error = bpf_obj_get_info_by_fd(program.fd, &info, &size)
        guard error == 0 else { throw Errno(rawValue: -error) }
        return (info.run_cnt, info.run_time_ns)
    }
}

/// Keeps the kernel's BPF run time statistics enabled during its lifetime.
public final class BPFStatistics: Sendable {
    private let fd: CInt

    public init() throws(Errno) {
        fd = bpf_enable_stats(BPF_STATS_RUN_TIME)
        guard fd >= 0 else { throw Errno(rawValue: -fd) }
    }

    deinit { close(fd) }
}
