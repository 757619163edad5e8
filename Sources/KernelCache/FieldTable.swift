import CShortfuseABI

/// The fields of struct sf_layout, and the type as which the module reads each, as in kmod/layout.c
/// and the uses of SF_AT().
enum FieldTable {
    enum Shape: Sendable {
        /// The whole struct, of this size; nil: of any size.
        case whole(Int?)
        /// A number of one of these sizes.
        case number([Int])
        /// One bit, or a boolean, whose value is in its first bit.
        case bit
        /// This C type; several: one of them.
        case type([String])
        /// An array of it.
        case array(of: String)
        /// A pointer to a function that returns nothing and has these parameters; several: one of
        /// them.
        case function([[String]])
        /// The same; records whether the first parameter is of this type.
        case firstParameter(String)
    }

    struct Field: Sendable {
        let place: WritableKeyPath<sf_layout, sf_field> & Sendable
        /// The first that the kernel has.
        let structs: [String]
        /// As `structs`; empty for the whole struct.
        let names: [String]
        let shape: Shape
        /// The module works without it; then its size is 0.
        let isOptional: Bool

        init(
            _ place: WritableKeyPath<sf_layout, sf_field> & Sendable, _ structs: String...,
            names: [String] = [], as shape: Shape, isOptional: Bool = false
        ) {
            self.place = place
            self.structs = structs
            self.names = names
            self.shape = shape
            self.isOptional = isOptional
        }
    }

    /// A request and its arguments.
    static let requests = [
        Field(\.args, "fuse_args", as: .whole(nil)),
        Field(\.nodeid, "fuse_args", names: ["nodeid"], as: .number([8])),
        Field(\.opcode, "fuse_args", names: ["opcode"], as: .number([4])),
        Field(\.in_numargs, "fuse_args", names: ["in_numargs"], as: .number([1, 2, 4])),
        Field(\.out_numargs, "fuse_args", names: ["out_numargs"], as: .number([1, 2, 4])),
        Field(\.in_args, "fuse_args", names: ["in_args"], as: .array(of: "struct fuse_in_arg")),
        Field(\.out_args, "fuse_args", names: ["out_args"], as: .array(of: "struct fuse_arg")),
        Field(\.in_arg, "fuse_in_arg", as: .whole(16)),
        Field(\.in_arg_size, "fuse_in_arg", names: ["size"], as: .number([4])),
        Field(\.in_arg_value, "fuse_in_arg", names: ["value"], as: .type(["void *"])),
        Field(\.out_arg, "fuse_arg", as: .whole(16)),
        Field(\.out_arg_size, "fuse_arg", names: ["size"], as: .number([4])),
        Field(\.out_arg_value, "fuse_arg", names: ["value"], as: .type(["void *"])),
        Field(\.in_pages, "fuse_args", names: ["in_pages"], as: .bit),
        Field(\.out_pages, "fuse_args", names: ["out_pages"], as: .bit),
        Field(\.out_argvar, "fuse_args", names: ["out_argvar"], as: .bit),
        Field(\.page_zeroing, "fuse_args", names: ["page_zeroing"], as: .bit),
        Field(
            \.end, "fuse_args", names: ["end"],
            as: .function([
                ["struct fuse_mount *", "struct fuse_args *", "int"],
                // Since 7.2.
                ["struct fuse_args *", "int"],
            ])),
        Field(
            \.end_mount, "fuse_args", names: ["end"], as: .firstParameter("struct fuse_mount *")),
    ]

    /// Where a reply with pages goes. Since 6.14 these are folios; a page of the page cache is one.
    static let pages = [
        Field(
            \.pages, "fuse_args_pages", names: ["pages", "folios"],
            as: .type(["struct page **", "struct folio **"])),
        Field(
            \.descs, "fuse_args_pages", names: ["descs"],
            as: .type(["struct fuse_page_desc *", "struct fuse_folio_desc *"])),
        Field(
            \.num_pages, "fuse_args_pages", names: ["num_pages", "num_folios"], as: .number([4])),
        Field(\.desc, "fuse_page_desc", "fuse_folio_desc", as: .whole(8)),
        Field(
            \.desc_length, "fuse_page_desc", "fuse_folio_desc", names: ["length"],
            as: .number([4])),
        Field(
            \.desc_offset, "fuse_page_desc", "fuse_folio_desc", names: ["offset"],
            as: .number([4])),
    ]

    /// From a request or an open /dev/fuse to the connection, and whether that is connected.
    static func connection(_ division: Division) -> [Field] {
        connection + (division == .whole ? undivided : divided)
    }

    private static let connection = [
        Field(\.mount_fc, "fuse_mount", names: ["fc"], as: .type(["struct fuse_conn *"])),
        Field(\.mount_entry, "fuse_mount", names: ["fc_entry"], as: .type(["struct list_head"])),
        Field(\.conn_mounts, "fuse_conn", names: ["mounts"], as: .type(["struct list_head"])),
    ]

    private static let undivided = [
        Field(\.dev_fc, "fuse_dev", names: ["fc"], as: .type(["struct fuse_conn *"])),
        Field(\.conn_connected, "fuse_conn", names: ["connected"], as: .number([1, 2, 4])),
    ]

    private static let divided = [
        Field(\.dev_fc, "fuse_dev", names: ["chan"], as: .type(["struct fuse_chan *"])),
        Field(\.conn_chan, "fuse_conn", names: ["chan"], as: .type(["struct fuse_chan *"])),
        Field(\.chan_conn, "fuse_chan", names: ["conn"], as: .type(["struct fuse_conn *"])),
        Field(\.conn_connected, "fuse_chan", names: ["connected"], as: .number([1, 2, 4])),
    ]

    /// Whose requests may be answered on an attached mount, and the lookups that its inodes count.
    static let attach = [
        Field(\.conn_user_id, "fuse_conn", names: ["user_id"], as: .type(["kuid_t"])),
        Field(
            \.conn_default_permissions, "fuse_conn", names: ["default_permissions"], as: .bit),
        Field(\.conn_writeback_cache, "fuse_conn", names: ["writeback_cache"], as: .bit),
        // Since 6.9.
        Field(
            \.conn_passthrough, "fuse_conn", names: ["passthrough"], as: .bit, isOptional: true),
        Field(\.inode_nodeid, "fuse_inode", names: ["nodeid"], as: .number([8])),
        Field(\.inode_nlookup, "fuse_inode", names: ["nlookup"], as: .number([8])),
        Field(\.inode_lock, "fuse_inode", names: ["lock"], as: .type(["spinlock_t"])),
    ]

    /// A struct whose address the module uses as that of its first member.
    struct Beginning: Sendable {
        let outer: String
        let member: String
        let type: String
    }

    static let pagesBeginning = Beginning(
        outer: "fuse_args_pages", member: "args", type: "struct fuse_args")
    static let inodeBeginning = Beginning(
        outer: "fuse_inode", member: "inode", type: "struct inode")
}
