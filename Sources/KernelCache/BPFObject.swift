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
        let counters: CInt
    }
    let maps: Maps
    /// Descriptors of the programs by opcode.
    let programs: [(opcode: UInt32, fd: CInt)]

    static let mapNames = ["attrs", "names", "long_names", "counters"]

    /// - Parameters:
    ///   - slotBits: log2 of the attribute slots.
    ///   - names: how many names are kept; of long ones a sixteenth.
    init(slotBits: UInt32, names: UInt32) throws(KernelCacheError) {
        shim_libbpf_capture_warnings()
        var size = 0
        let elf = sf_bpf_object(&size)
        guard let object = bpf_object__open_mem(elf, size, nil) else {
            throw .openFailed(reason: Self.lastWarning())
        }
        self.object = object
        do throws(KernelCacheError) {
            try Self.size(object, slotBits: slotBits, names: names)
            #if FAULTS
                try Fault.plant(in: object)
            #endif
            guard bpf_object__load(object) == 0 else {
                throw .loadFailed(reason: Self.lastWarning())
            }
            maps = Maps(
                attrs: try Self.map(object, "attrs"), names: try Self.map(object, "names"),
                longNames: try Self.map(object, "long_names"),
                counters: try Self.map(object, "counters"))
            programs = [
                (FUSE_LOOKUP.rawValue, try Self.program(object, "sf_lookup")),
                (FUSE_GETATTR.rawValue, try Self.program(object, "sf_getattr")),
            ]
        } catch {
            bpf_object__close(object)
            throw error
        }
    }

    deinit { bpf_object__close(object) }

    private static func lastWarning() -> String {
        let warning = String(cString: shim_libbpf_last_warning())
        return warning.isEmpty ? "\(Errno(rawValue: errno))" : warning
    }

    private static func size(
        _ object: OpaquePointer, slotBits: UInt32, names: UInt32
    ) throws(KernelCacheError) {
        // The only constant in .rodata is slot_bits (bpf/maps.bpf.h).
        var size = 0
        guard let rodata = bpf_object__find_map_by_name(object, ".rodata"),
            let constants = bpf_map__initial_value(rodata, &size),
            size == MemoryLayout<UInt32>.size
        else { throw .openFailed(reason: "slot_bits is not alone in .rodata") }
        UnsafeMutableRawPointer(mutating: constants).storeBytes(of: slotBits, as: UInt32.self)

        let sizes = [
            ("attrs", UInt32(1) << slotBits), ("names", names),
            ("long_names", max(names / 16, 64)),
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
}
