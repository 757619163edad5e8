import CLibBPF
import Glibc
import SystemPackage

/// The types and functions of a kernel according to its BTF: that of vmlinux and, where FUSE is a
/// module, of the module.
///
/// BTF may come from an untrusted file, so nothing here recurses without a limit or trusts an
/// index.
final class KernelBTF {
    private let kernel: OpaquePointer
    /// Based on the kernel's, whose types it refers to. Nil if FUSE is built in.
    private let fuse: OpaquePointer?
    /// Each search reads all of the kernel's types.
    private var found: [String: UInt32?] = [:]

    private static let deepest = 16
    private static let structKind = UInt32(BTF_KIND_STRUCT)
    // Both libbpf and the kernel's header define it, with different types.
    private static let functionKind = UInt32(BTF_KIND_FUNC as CInt)

    /// - Parameters: both owned from here on.
    private init(kernel: OpaquePointer, fuse: OpaquePointer?) {
        self.kernel = kernel
        self.fuse = fuse
    }

    deinit {
        btf__free(fuse)
        btf__free(kernel)
    }

    /// The BTF of the running kernel.
    static func running() throws(KernelCacheError) -> KernelBTF {
        shim_libbpf_capture_warnings()
        guard let kernel = btf__load_vmlinux_btf() else { throw .noBTF(module: "vmlinux") }
        // Where FUSE is a module, it has split BTF based on vmlinux's.
        guard access("/sys/kernel/btf/fuse", F_OK) == 0 else {
            let btf = KernelBTF(kernel: kernel, fuse: nil)
            guard btf.hasFUSE else { throw .noBTF(module: "fuse") }
            return btf
        }
        guard let fuse = btf__load_module_btf("fuse", kernel) else {
            btf__free(kernel)
            throw .noBTF(module: "fuse")
        }
        return KernelBTF(kernel: kernel, fuse: fuse)
    }

    /// The BTF of files that `BTFFile` has checked.
    static func parse(
        kernel: BTFFile, fuse: BTFFile?
    ) throws(BTFFileError) -> KernelBTF {
        shim_libbpf_capture_warnings()
        guard !kernel.header.isModule else {
            throw BTFFileError(
                .kernel,
                "the BTF of a module, which refers to its kernel's: give that with --btf, and this "
                    + "with --fuse-btf")
        }
        let types = try parse(kernel, on: nil, .kernel)
        guard let fuse else {
            let btf = KernelBTF(kernel: types, fuse: nil)
            guard btf.hasFUSE else {
                throw BTFFileError(
                    .kernel,
                    "it has nothing of FUSE, which is a module of this kernel: give fuse.ko with "
                        + "--fuse-btf")
            }
            return btf
        }
        guard fuse.header.isModule else {
            btf__free(types)
            throw BTFFileError(
                .fuse, "the BTF of a whole kernel, not of its module fuse: give it with --btf")
        }
        guard !has(types, "fuse_args") else {
            btf__free(types)
            throw BTFFileError(
                .fuse, "the kernel that --btf has has FUSE built in: leave out --fuse-btf")
        }
        let btf: KernelBTF
        do throws(BTFFileError) {
            btf = KernelBTF(kernel: types, fuse: try parse(fuse, on: types, .fuse))
        } catch {
            btf__free(types)
            throw error
        }
        guard btf.fits(kernel.header) else {
            throw BTFFileError(
                .fuse,
                "not of the kernel that --btf has: give the BTF of one kernel and its own fuse.ko")
        }
        return btf
    }

    private static func parse(
        _ file: BTFFile, on kernel: OpaquePointer?, _ which: BTFFileError.File
    ) throws(BTFFileError) -> OpaquePointer {
        // By path: for bytes in memory, libbpf 1.1 exports no function that takes base BTF.
        guard let btf = file.path.withPlatformString({ btf__parse_split($0, kernel) }) else {
            throw BTFFileError(
                which,
                "BTF that cannot be read (damaged, or newer than the libbpf of this program): get "
                    + "the file again")
        }
        return btf
    }

    /// Whether the module's names begin at the start of a name. With the BTF of another kernel they
    /// do not.
    private func fits(_ kernel: BTFHeader) -> Bool {
        guard let fuse else { return true }
        for id in btf__type_cnt(self.kernel)..<btf__type_cnt(fuse) {
            guard let type = btf__type_by_id(fuse, id) else { return false }
            let offset = type.pointee.name_off
            guard let name = btf__name_by_offset(fuse, offset) else { return false }
            // The first name of the kernel and of the module has none before it.
            if offset != 0, offset != kernel.stringBytes, name[-1] != 0 { return false }
        }
        return hasFUSE
    }

    private var hasFUSE: Bool { structure("fuse_args") != nil || structure("fuse_conn") != nil }

    private static func has(_ kernel: OpaquePointer, _ structure: String) -> Bool {
        btf__find_by_name_kind(kernel, structure, structKind) > 0
    }

    // MARK: Structs

    struct Member {
        let type: UInt32
        /// From the start of the outermost struct.
        let bit: UInt32
        /// How many bits it has; 0: it is whole.
        let bits: UInt32
    }

    func structure(_ name: String) -> UInt32? { find(name, Self.structKind) }

    /// Includes members of anonymous structs and unions in it.
    func member(of structure: UInt32, _ name: String) -> Member? {
        member(of: structure, name, depth: 0)
    }

    private func member(of id: UInt32, _ name: String, depth: Int) -> Member? {
        guard depth < Self.deepest, let structure = type(id), btf_is_composite(structure),
            let members = btf_members(structure)
        else { return nil }
        for index in 0..<UInt32(btf_vlen(structure)) {
            let member = members[Int(index)]
            let bit = btf_member_bit_offset(structure, index)
            guard let memberName = btf__name_by_offset(top, member.name_off) else { continue }
            if strcmp(memberName, name) == 0 {
                return Member(
                    type: member.type, bit: bit, bits: btf_member_bitfield_size(structure, index))
            }
            if memberName.pointee == 0,
                let inner = self.member(of: member.type, name, depth: depth + 1)
            {
                return Member(type: inner.type, bit: bit &+ inner.bit, bits: inner.bits)
            }
        }
        return nil
    }

    /// In bytes.
    func size(of type: UInt32) -> Int? {
        let size = btf__resolve_size(top, type)
        return size >= 0 ? Int(size) : nil
    }

    // MARK: Functions

    struct Prototype: Equatable {
        let returns: String
        let parameters: [String]
    }

    /// Nil if there is no such function.
    func function(_ name: String) -> Prototype? {
        guard let id = find(name, Self.functionKind), let function = type(id) else {
            return nil
        }
        return prototype(function.pointee.type)
    }

    /// The prototype of a pointer to a function.
    func prototype(ofPointer id: UInt32) -> Prototype? {
        guard let pointer = stripped(id), btf_is_ptr(pointer) else { return nil }
        return prototype(pointer.pointee.type)
    }

    private func prototype(_ id: UInt32) -> Prototype? {
        guard let prototype = type(id), btf_is_func_proto(prototype),
            let parameters = btf_params(prototype)
        else { return nil }
        return Prototype(
            returns: name(of: prototype.pointee.type),
            parameters: (0..<Int(btf_vlen(prototype))).map { name(of: parameters[$0].type) })
    }

    // MARK: Names

    /// In C, without const and volatile: "struct fuse_args *".
    func name(of id: UInt32) -> String { name(of: id, depth: 0) }

    private func name(of id: UInt32, depth: Int) -> String {
        if id == 0 { return "void" }
        guard depth < Self.deepest, let type = type(id) else { return "?" }
        let name = btf__name_by_offset(top, type.pointee.name_off).map { String(cString: $0) } ?? ""
        if btf_is_mod(type) { return self.name(of: type.pointee.type, depth: depth + 1) }
        if btf_is_ptr(type) {
            let target = self.name(of: type.pointee.type, depth: depth + 1)
            return target + (target.hasSuffix("*") ? "*" : " *")
        }
        if btf_is_array(type), let array = btf_array(type) {
            return self.name(of: array.pointee.type, depth: depth + 1) + "[\(array.pointee.nelems)]"
        }
        if btf_is_func_proto(type) { return "function" }
        if btf_is_union(type) || (btf_is_fwd(type) && btf_kflag(type)) { return "union \(name)" }
        if btf_is_struct(type) || btf_is_fwd(type) { return "struct \(name)" }
        return btf_is_any_enum(type) ? "enum \(name)" : name
    }

    /// True if it is an integer, a boolean or an enumeration, or a typedef of one.
    func isNumber(_ id: UInt32) -> Bool {
        guard let type = stripped(id) else { return false }
        return btf_is_int(type) || btf_is_any_enum(type)
    }

    /// The size of an array's element in bytes; nil if it is not an array.
    func element(of id: UInt32) -> UInt32? {
        guard let type = stripped(id), btf_is_array(type) else { return nil }
        return btf_array(type)?.pointee.type
    }

    /// Without typedefs, const and the like.
    private func stripped(_ id: UInt32) -> UnsafePointer<btf_type>? {
        var type = type(id)
        for _ in 0..<Self.deepest {
            guard let current = type, btf_is_mod(current) || btf_is_typedef(current) else { break }
            type = self.type(current.pointee.type)
        }
        return type
    }

    // MARK: Look-up

    /// The BTF that includes the types of both.
    private var top: OpaquePointer { fuse ?? kernel }

    private func type(_ id: UInt32) -> UnsafePointer<btf_type>? { btf__type_by_id(top, id) }

    private func find(_ name: String, _ kind: UInt32) -> UInt32? {
        let key = "\(kind) \(name)"
        if let known = found[key] { return known }
        let id = ownID(name, kind) ?? kernelID(name, kind)
        found[key] = .some(id)
        return id
    }

    private func kernelID(_ name: String, _ kind: UInt32) -> UInt32? {
        let id = btf__find_by_name_kind(kernel, name, kind)
        return id > 0 ? UInt32(id) : nil
    }

    /// Searches the module's own types first: the kernel may have another type of the same name.
    private func ownID(_ name: String, _ kind: UInt32) -> UInt32? {
        guard let fuse else { return nil }
        return (btf__type_cnt(kernel)..<btf__type_cnt(fuse)).first { id in
            guard let type = btf__type_by_id(fuse, id), UInt32(btf_kind(type)) == kind,
                let own = btf__name_by_offset(fuse, type.pointee.name_off)
            else { return false }
            return strcmp(own, name) == 0
        }
    }
}
