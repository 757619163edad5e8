import SystemPackage

/// Why the kernel cache cannot work here. `description` is one line that names the cause and the
/// remedy.
public enum KernelCacheError: Error, CustomStringConvertible {
    case invalidSlots(Int)
    case invalidDataSize(Int)
    case noBTF(module: String)
    case unknownKernel(differences: [String])
    case openFailed(reason: String)
    case loadFailed(reason: String)
    case noBPFFileSystem(path: String, Errno)
    case pinFailed(path: String, Errno)
    case foreignPins(path: String)
    case mapFailed(map: String, Errno)
    case moduleMissing
    case moduleRefused(reason: String)
    case attachFailed(Errno)
    case figuresFailed(Errno)

    public var description: String {
        switch self {
        case .invalidSlots(let slots):
            "\(slots) attribute slots: give a power of two from 64 to 16777216"
        case .invalidDataSize(let bytes):
            "\(bytes) bytes of cached data: give a number from 0 to 1099511627776"
        case .noBTF(let module):
            "no BTF of \(module) in /sys/kernel/btf: "
                + (module == "vmlinux"
                    ? "use a kernel with CONFIG_DEBUG_INFO_BTF"
                    : "load it (modprobe \(module)), or use a kernel with CONFIG_DEBUG_INFO_BTF_MODULES")
        case .unknownKernel(let differences):
            "this kernel's FUSE is not one that shortfuse knows: "
                + differences.joined(separator: "; ")
        case .openFailed(let reason):
            "cannot read the embedded BPF programs: \(reason)"
        case .loadFailed(let reason):
            "the kernel refuses the BPF programs: \(reason)"
        case .noBPFFileSystem(let path, let errno):
            "cannot mount the BPF file system at \(path): \(errno)"
        case .pinFailed(let path, let errno):
            "cannot pin \(path): \(errno)"
        case .foreignPins(let path):
            "\(path) is not a directory that belongs to root alone; remove it"
        case .mapFailed(let map, let errno):
            "cannot use the BPF map \(map): \(errno)"
        case .moduleMissing:
            "no /dev/shortfuse: load the module with `modprobe shortfuse`"
        case .moduleRefused(let reason):
            "the kernel refuses the module\(reason)"
        case .attachFailed(let errno):
            Self.attachDescription(errno)
        case .figuresFailed(.socketNotConnected):
            "the module says that nothing is attached here any more"
        case .figuresFailed(let errno):
            "cannot read the counters of the mount from /dev/shortfuse: \(errno)"
        }
    }

    /// The errors of SF_IOC_ATTACH, as shortfuse_abi.h lists them.
    private static func attachDescription(_ errno: Errno) -> String {
        switch errno {
        case Errno(rawValue: 71):  // EPROTO
            "the loaded module is another version: reload it with `modprobe -r shortfuse`"
        case .resourceBusy: "this mount is attached already"
        case .badFileDescriptor: "the descriptor given to the module is not /dev/fuse"
        case .socketNotConnected: "the FUSE connection is not mounted, or aborted"
        case .invalidArgument: "the module refuses the FUSE layout read from BTF"
        case .protocolWrongTypeForSocket: "the module refuses the BPF programs"
        case .notPermitted: "attaching needs CAP_SYS_ADMIN: run as root"
        default: "the module refuses to attach: \(errno)"
        }
    }
}
