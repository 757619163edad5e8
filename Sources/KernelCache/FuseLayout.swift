import CLibBPF
import CShortfuseABI
import Glibc

/// Reads from the running kernel's BTF where fs/fuse keeps what the hook looks at (struct sf_layout).
/// Never from the version number: distributions backport layouts.
struct FuseLayout {
    private let btf: OpaquePointer

    static func read() throws(KernelCacheError) -> sf_layout {
        guard let vmlinux = btf__load_vmlinux_btf() else { throw .noBTF(module: "vmlinux") }
        defer { btf__free(vmlinux) }
        // Where FUSE is a module, it has BTF of its own on top of vmlinux's.
        if access("/sys/kernel/btf/fuse", F_OK) == 0 {
            guard let module = btf__load_module_btf("fuse", vmlinux) else {
                throw .noBTF(module: "fuse")
            }
            defer { btf__free(module) }
            return try FuseLayout(btf: module).layout()
        }
        return try FuseLayout(btf: vmlinux).layout()
    }

    private func layout() throws(KernelCacheError) -> sf_layout {
        sf_layout(
            args: try whole("fuse_args"),
            nodeid: try field("fuse_args", "nodeid"),
            opcode: try field("fuse_args", "opcode"),
            in_numargs: try field("fuse_args", "in_numargs"),
            out_numargs: try field("fuse_args", "out_numargs"),
            in_args: try field("fuse_args", "in_args"),
            out_args: try field("fuse_args", "out_args"),
            in_arg: try whole("fuse_in_arg"),
            in_arg_size: try field("fuse_in_arg", "size"),
            in_arg_value: try field("fuse_in_arg", "value"),
            out_arg: try whole("fuse_arg"),
            out_arg_size: try field("fuse_arg", "size"),
            out_arg_value: try field("fuse_arg", "value"),
            in_pages: try bit("fuse_args", "in_pages"),
            out_pages: try bit("fuse_args", "out_pages"),
            out_argvar: try bit("fuse_args", "out_argvar"),
            page_zeroing: try bit("fuse_args", "page_zeroing"),
            end: try end(),
            pages: try pagesField("pages", orFolios: "folios"),
            descs: try pagesField("descs"),
            num_pages: try pagesField("num_pages", orFolios: "num_folios"),
            desc: try whole(descName),
            desc_length: try field(descName, "length"),
            desc_offset: try field(descName, "offset"),
            mount_fc: try field("fuse_mount", "fc"),
            mount_entry: try field("fuse_mount", "fc_entry"),
            dev_fc: try field("fuse_dev", "fc"),
            conn_mounts: try field("fuse_conn", "mounts"),
            conn_connected: try field("fuse_conn", "connected"),
            conn_user_id: try field("fuse_conn", "user_id"),
            conn_default_permissions: try bit("fuse_conn", "default_permissions"),
            conn_writeback_cache: try bit("fuse_conn", "writeback_cache"),
            // Since 6.9.
            conn_passthrough: (try? bit("fuse_conn", "passthrough")) ?? sf_field(),
            inode_nodeid: try field("fuse_inode", "nodeid"),
            inode_nlookup: try field("fuse_inode", "nlookup"),
            inode_lock: try field("fuse_inode", "lock"))
    }

    /// `end`, which must take what the hook hands it.
    private func end() throws(KernelCacheError) -> sf_field {
        let (type, _) = try member("fuse_args", "end")
        guard let pointer = btf__type_by_id(btf, type),
            let prototype = btf__type_by_id(btf, pointer.pointee.type),
            btf_is_func_proto(prototype), btf_vlen(prototype) == 3
        else { throw .unknownLayout(missing: "fuse_args.end of three parameters") }
        return try field("fuse_args", "end")
    }

    /// Since 6.14 requests hold folios; a page of the page cache is one.
    private func pagesField(
        _ name: String, orFolios folios: String? = nil
    ) throws(KernelCacheError) -> sf_field {
        do throws(KernelCacheError) {
            return try field("fuse_args_pages", name)
        } catch {
            guard let folios else { throw error }
            return try field("fuse_args_pages", folios)
        }
    }

    private var descName: String {
        btf__find_by_name_kind(btf, "fuse_page_desc", UInt32(BTF_KIND_STRUCT)) > 0
            ? "fuse_page_desc" : "fuse_folio_desc"
    }

    private func structure(_ name: String) throws(KernelCacheError) -> UInt32 {
        let id = btf__find_by_name_kind(btf, name, UInt32(BTF_KIND_STRUCT))
        guard id > 0 else { throw .unknownLayout(missing: "struct \(name)") }
        return UInt32(id)
    }

    private func whole(_ name: String) throws(KernelCacheError) -> sf_field {
        sf_field(offset: 0, size: try size(of: try structure(name), name))
    }

    private func size(of type: UInt32, _ name: String) throws(KernelCacheError) -> UInt16 {
        guard let size = UInt16(exactly: btf__resolve_size(btf, type)) else {
            throw .unknownLayout(missing: "size of \(name)")
        }
        return size
    }

    /// A member's type and its offset in bits.
    private func member(
        _ structName: String, _ name: String
    ) throws(KernelCacheError) -> (type: UInt32, bit: UInt32) {
        guard let found = member(of: try structure(structName), name) else {
            throw .unknownLayout(missing: "\(structName).\(name)")
        }
        return found
    }

    /// Also in the anonymous structs and unions within `type`.
    private func member(of type: UInt32, _ name: String) -> (type: UInt32, bit: UInt32)? {
        guard let structure = btf__type_by_id(btf, type), let members = btf_members(structure)
        else { return nil }
        for index in 0..<UInt32(btf_vlen(structure)) {
            let member = members[Int(index)]
            let bit = btf_member_bit_offset(structure, index)
            guard let memberName = btf__name_by_offset(btf, member.name_off) else { continue }
            if strcmp(memberName, name) == 0 { return (member.type, bit) }
            if memberName.pointee == 0, isComposite(member.type),
                let inner = self.member(of: member.type, name)
            {
                return (inner.type, bit &+ inner.bit)
            }
        }
        return nil
    }

    private func isComposite(_ type: UInt32) -> Bool {
        guard let type = btf__type_by_id(btf, type) else { return false }
        return btf_is_composite(type)
    }

    private func field(_ structName: String, _ name: String) throws(KernelCacheError) -> sf_field {
        let (type, bit) = try member(structName, name)
        guard bit % 8 == 0, let offset = UInt16(exactly: bit / 8) else {
            throw .unknownLayout(missing: "\(structName).\(name) at a whole byte")
        }
        return sf_field(offset: offset, size: try size(of: type, name))
    }

    private func bit(_ structName: String, _ name: String) throws(KernelCacheError) -> sf_field {
        guard let offset = UInt16(exactly: try member(structName, name).bit) else {
            throw .unknownLayout(missing: "\(structName).\(name)")
        }
        return sf_field(offset: offset, size: 1)
    }
}
