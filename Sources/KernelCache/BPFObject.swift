import CBPFPrograms
import CLibBPF
import CShortfuseABI
import Glibc
import SystemPackage

/// The embedded BPF object, loaded: open → size the maps → load. Closed at deinit, which frees maps
/// and programs unless they are pinned or attached elsewhere.
final class BPFObject: @unchecked Sendable {
    // Safe to share: after init only its descriptors are used, which never change.
    private let object: OpaquePointer

    struct Maps {
        let attrs: CInt
        let names: CInt
        let longNames: CInt
        let data: CInt
        let replies: CInt
        let counters: CInt
        /// The programs' variables; the daemon uses only `validity`.
        let variables: CInt
    }
    let maps: Maps
    /// Descriptors of the programs by opcode.
    let programs: [(opcode: UInt32, fd: CInt)]
    /// The same for the programs that learn from another daemon's replies.
    let learners: [(opcode: UInt32, fd: CInt)]

    static let mapNames = [
        "attrs", "names", "long_names", "data", "replies", "counters",
    ]

    /// - Parameters:
    ///   - config: the programs' constants, which also set the sizes of `attrs` and `data`.
    ///   - names: the number of names and of short replies; a sixteenth of it for long names.
    init(config: sf_config, names: UInt32) throws(KernelCacheError) {
        shim_libbpf_capture_warnings()
        var size = 0
        let elf = sf_bpf_object(&size)
        guard let object = bpf_object__open_mem(elf, size, nil) else {
            throw .openFailed(reason: Self.lastWarning())
        }
        self.object = object
        do throws(KernelCacheError) {
            try Self.size(object, config: config, names: names)
            try Self.choose(object, Self.programNames(config) + Self.learnerNames(config))
            #if FAULTS
                try Fault.plant(in: object)
            #endif
            guard bpf_object__load(object) == 0 else {
                throw .loadFailed(reason: Self.lastWarning())
            }
            maps = Maps(
                attrs: try Self.map(object, "attrs"), names: try Self.map(object, "names"),
                longNames: try Self.map(object, "long_names"),
                data: try Self.map(object, "data"), replies: try Self.map(object, "replies"),
                counters: try Self.map(object, "counters"),
                variables: try Self.map(object, ".bss"))
            programs = try Self.programs(object, Self.programNames(config))
            learners = try Self.programs(object, Self.learnerNames(config))
        } catch {
            bpf_object__close(object)
            throw error
        }
    }

    deinit { bpf_object__close(object) }

    private typealias ProgramNames = [(opcode: fuse_opcode, name: String)]

    /// All opcodes that programs answer for a mount of our own.
    static let opcodes = programNames(sf_config()).map(\.opcode.rawValue)

    /// The program of each opcode.
    private static func programNames(_ config: sf_config) -> ProgramNames {
        let all: ProgramNames = [
            (FUSE_LOOKUP, "sf_lookup"), (FUSE_GETATTR, "sf_getattr"),
            (FUSE_GETXATTR, "sf_getxattr"), (FUSE_LISTXATTR, "sf_listxattr"),
            (FUSE_STATFS, "sf_statfs"), (FUSE_READLINK, "sf_readlink"),
        ]
        // Requests on files that another daemon has open can only be answered by it.
        guard config.policy == SF_POLICY_MIRROR.rawValue else { return all }
        return all + [
            (FUSE_OPEN, "sf_open"), (FUSE_READ, "sf_read"), (FUSE_FLUSH, "sf_flush"),
            (FUSE_RELEASE, "sf_release"), (FUSE_OPENDIR, "sf_opendir"),
            (FUSE_RELEASEDIR, "sf_release"), (FUSE_IOCTL, "sf_ioctl"),
        ]
    }

    /// The program that learns from the replies to each opcode.
    private static func learnerNames(_ config: sf_config) -> ProgramNames {
        guard config.policy != SF_POLICY_MIRROR.rawValue else { return [] }
        return [
            (FUSE_LOOKUP, "sf_learn_lookup"), (FUSE_GETATTR, "sf_learn_getattr"),
            (FUSE_GETXATTR, "sf_learn_getxattr"), (FUSE_LISTXATTR, "sf_learn_listxattr"),
            (FUSE_STATFS, "sf_learn_statfs"), (FUSE_READLINK, "sf_learn_readlink"),
        ]
    }

    /// Selects the programs to load.
    private static func choose(
        _ object: OpaquePointer, _ names: ProgramNames
    ) throws(KernelCacheError) {
        var program = bpf_object__next_program(object, nil)
        while let current = program {
            let name = bpf_program__name(current).map { String(cString: $0) } ?? ""
            let isWanted = names.contains { $0.name == name }
            guard bpf_program__set_autoload(current, isWanted) == 0 else {
                throw .openFailed(reason: "program \(name) cannot be chosen")
            }
            program = bpf_object__next_program(object, current)
        }
    }

    private static func programs(
        _ object: OpaquePointer, _ programNames: ProgramNames
    ) throws(KernelCacheError) -> [(opcode: UInt32, fd: CInt)] {
        var programs: [(opcode: UInt32, fd: CInt)] = []
        for (opcode, name) in programNames {
            programs.append((opcode.rawValue, try program(object, name)))
        }
        return programs
    }

    private static func lastWarning() -> String {
        let warning = String(cString: shim_libbpf_last_warning())
        return warning.isEmpty ? "\(Errno(rawValue: errno))" : warning
    }

    private static func size(
        _ object: OpaquePointer, config: sf_config, names: UInt32
    ) throws(KernelCacheError) {
        // The only constant in .rodata is config (bpf/maps.bpf.h).
        var size = 0
        guard let rodata = bpf_object__find_map_by_name(object, ".rodata"),
            let constants = bpf_map__initial_value(rodata, &size),
            size == MemoryLayout<sf_config>.size
        else { throw .openFailed(reason: "config is not alone in .rodata") }
        UnsafeMutableRawPointer(mutating: constants).storeBytes(of: config, as: sf_config.self)

        // The kernel assigns a hash map's entries to processors by 128: a smaller map would evict
        // while it is nearly empty.
        let least = 256 * UInt32(max(libbpf_num_possible_cpus(), 1))
        let sizes = [
            ("attrs", UInt32(1) << config.slot_bits), ("names", names),
            ("long_names", max(names / 16, least)), ("replies", max(names, least)),
            ("data", config.data_sets * UInt32(SF_WAYS.rawValue)),
        ]
        for (name, entries) in sizes {
            guard let map = bpf_object__find_map_by_name(object, name),
                bpf_map__set_max_entries(map, entries) == 0
            else { throw .openFailed(reason: "no map \(name)") }
        }
    }

    private static func map(
        _ object: OpaquePointer, _ name: String
    ) throws(KernelCacheError) -> CInt {
        let fd = bpf_object__find_map_fd_by_name(object, name)
        guard fd >= 0 else { throw .openFailed(reason: "no map \(name)") }
        return fd
    }

    private static func program(
        _ object: OpaquePointer, _ name: String
    ) throws(KernelCacheError) -> CInt {
        guard let program = bpf_object__find_program_by_name(object, name) else {
            throw .openFailed(reason: "no program \(name)")
        }
        return bpf_program__fd(program)
    }

    /// Pins the maps in `directory`, which must exist on a BPF file system.
    func pin(in directory: String) throws(KernelCacheError) {
        for name in Self.mapNames {
            let path = directory + "/" + name
            guard let map = bpf_object__find_map_by_name(object, name),
                bpf_map__pin(map, path) == 0, chmod(path, 0o600) == 0
            else { throw .pinFailed(path: path, Errno(rawValue: errno)) }
        }
    }

    /// Makes the hook run the programs for the requests of a connection.
    /// - Parameters:
    ///   - target: /dev/fuse of a session, or the root of a mount, as `kind` says.
    ///   - kernel: the running one.
    ///   - openNanoseconds, openFiles: as sf_attach.open_ns and idle_max.
    /// - Returns: the open /dev/shortfuse. Closing it detaches.
    func attach(
        _ target: CInt, as kind: sf_attach_kind, kernel: KernelFit, openNanoseconds: UInt64 = 0,
        openFiles: UInt32 = 0
    ) throws(KernelCacheError) -> CInt {
        try kernel.require()
        let device = open("/dev/" + SF_DEVICE, O_RDWR | O_CLOEXEC)
        guard device >= 0 else {
            throw errno == ENOENT ? .moduleMissing : .attachFailed(Errno(rawValue: errno))
        }
        do throws(KernelCacheError) {
            var request = sf_attach()
            request.size = UInt32(MemoryLayout<sf_attach>.size)
            request.abi_version = UInt32(SF_ABI_VERSION.rawValue)
            request.fd = target
            request.kind = kind.rawValue
            request.open_ns = openNanoseconds
            request.idle_max = openFiles
            request.layout = kernel.layout
            withUnsafeMutableBytes(of: &request.prog_fd) { Self.fill($0, programs) }
            withUnsafeMutableBytes(of: &request.learn_fd) { Self.fill($0, learners) }
            guard sf_ioctl_attach(device, &request) == 0 else {
                throw .attachFailed(Errno(rawValue: errno))
            }
        } catch {
            Glibc.close(device)
            throw error
        }
        return device
    }

    private static func fill(
        _ bytes: UnsafeMutableRawBufferPointer, _ programs: [(opcode: UInt32, fd: CInt)]
    ) {
        let fds = bytes.bindMemory(to: CInt.self)
        fds.update(repeating: -1)
        for (opcode, fd) in programs { fds[Int(opcode)] = fd }
    }
}
