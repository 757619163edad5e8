import CShortfuseABI
import Glibc
import SystemPackage

/// How the requests of an attached mount were answered, and what the module keeps for it. The
/// module's figures are more exact than the counters of the programs: it may reject a program's
/// answer, and answers opens of files that were closed shortly before by itself.
public struct AttachedFigures: Sendable, Equatable {
    /// By opcode, since attaching; opcodes that never occurred are left out.
    public let answered: [UInt32: UInt64]
    /// The same for requests that its daemon received.
    public let asked: [UInt32: UInt64]
    /// Files and directories that were closed and are still open in the daemon.
    public let keptHandles: UInt64
    /// Lookups of the kernel that the daemon has not counted.
    public let owedLookups: UInt64

    /// - Parameter root: the open root of the mount; `O_PATH` is enough. No request is sent.
    /// - Throws: `KernelCacheError`, also if nothing is attached any more.
    public init(root: CInt) throws(KernelCacheError) {
        let device = open("/dev/" + SF_DEVICE, O_RDWR | O_CLOEXEC)
        guard device >= 0 else {
            throw errno == ENOENT ? .moduleMissing : .figuresFailed(Errno(rawValue: errno))
        }
        defer { close(device) }
        var figures = sf_figures()
        figures.fd = root
        guard sf_ioctl_figures(device, &figures) == 0 else {
            throw .figuresFailed(Errno(rawValue: errno))
        }
        answered = withUnsafeBytes(of: &figures.answered) { Self.byOpcode($0) }
        asked = withUnsafeBytes(of: &figures.asked) { Self.byOpcode($0) }
        keptHandles = UInt64(figures.handles)
        owedLookups = figures.owed
    }

    private static func byOpcode(_ bytes: UnsafeRawBufferPointer) -> [UInt32: UInt64] {
        var counts: [UInt32: UInt64] = [:]
        for (opcode, count) in bytes.bindMemory(to: UInt64.self).enumerated() where count > 0 {
            counts[UInt32(opcode)] = count
        }
        return counts
    }
}
