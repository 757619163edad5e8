import CLibBPF
import CShortfuseABI
import SystemPackage

extension KernelCache {
    /// Runs the program of `opcode` on a context of our making, as the hook would: for tests, which
    /// so need neither module nor mount.
    ///
    /// - Parameter context: the bytes of a struct sf_ctx; may be shorter or longer to see what
    ///   happens. The program's changes land in it.
    /// - Returns: the program's verdict (enum sf_verdict).
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
}
