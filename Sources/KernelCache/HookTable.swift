/// Where a kernel's FUSE keeps the state of the daemon's device.
enum Division {
    /// In the connection, struct fuse_conn.
    case whole
    /// Since 7.2: in struct fuse_chan.
    case divided

    init(_ btf: KernelBTF) {
        self = btf.structure("fuse_chan") == nil ? .whole : .divided
    }
}

/// The functions of fs/fuse that the module hooks or calls, with their prototypes, as in
/// kmod/hook.c and kmod/attach.c. With another prototype, arguments would be in other registers.
enum HookTable {
    struct Function: Sendable {
        let name: String
        let prototype: KernelBTF.Prototype

        init(_ name: String, _ parameters: [String], returns: String) {
            self.name = name
            prototype = KernelBTF.Prototype(returns: returns, parameters: parameters)
        }
    }

    /// Alternatives for one purpose, the best first. The first that the kernel has is used, and
    /// must match one of its forms here.
    struct Hook: Sendable {
        let forms: [Function]

        init(_ forms: Function...) {
            self.forms = forms
        }
    }

    /// What every answer needs: where requests are sent.
    static let requests = [
        Hook(
            // Since 6.12; before that, the second.
            Function(
                "__fuse_simple_request",
                ["struct mnt_idmap *", "struct fuse_mount *", "struct fuse_args *"],
                returns: "ssize_t"),
            Function(
                "fuse_simple_request", ["struct fuse_mount *", "struct fuse_args *"],
                returns: "ssize_t")),
        Hook(
            Function(
                "fuse_simple_background", ["struct fuse_mount *", "struct fuse_args *", "gfp_t"],
                returns: "int")),
    ]

    /// Where write(2) begins and ends, after which pages may have to be dropped.
    static let writes = [
        Hook(
            Function(
                "fuse_file_write_iter", ["struct kiocb *", "struct iov_iter *"], returns: "ssize_t")
        ),
        Hook(
            Function(
                "fuse_write_update_attr", ["struct inode *", "loff_t", "ssize_t"], returns: "bool")
        ),
    ]

    /// What is watched for attached mounts. The module hooks these for all mounts.
    static func attach(_ division: Division) -> [Hook] {
        [Hook(forget(division))] + attach
    }

    private static func forget(_ division: Division) -> Function {
        switch division {
        case .whole:
            Function(
                "fuse_queue_forget",
                ["struct fuse_conn *", "struct fuse_forget_link *", "u64", "u64"], returns: "void")
        case .divided:
            Function(
                "fuse_chan_queue_forget",
                ["struct fuse_chan *", "struct fuse_forget_link *", "u64", "u64"], returns: "void")
        }
    }

    private static let attach = [
        Hook(Function("fuse_conn_destroy", ["struct fuse_mount *"], returns: "void")),
        Hook(
            Function(
                "fuse_reverse_inval_inode", ["struct fuse_conn *", "u64", "loff_t", "loff_t"],
                returns: "int")),
        Hook(
            Function(
                "fuse_reverse_inval_entry",
                ["struct fuse_conn *", "u64", "u64", "struct qstr *", "u32"], returns: "int"),
            // 6.1 has no flags.
            Function(
                "fuse_reverse_inval_entry", ["struct fuse_conn *", "u64", "u64", "struct qstr *"],
                returns: "int")),
    ]

    /// What the module calls; without them it is not loaded.
    static func calls(_ division: Division) -> [Hook] {
        [
            Hook(Function("fuse_conn_get", ["struct fuse_conn *"], returns: "struct fuse_conn *")),
            Hook(Function("fuse_conn_put", ["struct fuse_conn *"], returns: "void")),
            Hook(abort(division)),
        ]
    }

    private static func abort(_ division: Division) -> Function {
        switch division {
        case .whole:
            Function("fuse_abort_conn", ["struct fuse_conn *"], returns: "void")
        case .divided:
            Function("fuse_chan_abort", ["struct fuse_chan *", "bool"], returns: "void")
        }
    }
}

extension HookTable.Hook {
    /// What the kernel has of it, or how it differs.
    func check(_ btf: KernelBTF) -> Result<String, Difference> {
        for form in forms {
            guard let prototype = btf.function(form.name) else { continue }
            let known = forms.filter { $0.name == form.name }.map(\.prototype)
            guard !known.contains(prototype) else { return .success(form.name) }
            return .failure(Difference(prototype.difference(from: form.prototype, form.name)))
        }
        let names = forms.reduce(into: [String]()) { names, form in
            if !names.contains(form.name) { names.append(form.name) }
        }
        return .failure(Difference("no function \(names.joined(separator: " or "))"))
    }
}

extension KernelBTF.Prototype {
    /// - Parameter name: of the function.
    func difference(from known: Self, _ name: String) -> String {
        if parameters.count != known.parameters.count {
            return "\(name) has \(parameters.count) parameters, not \(known.parameters.count): "
                + "(\(parameters.joined(separator: ", ")))"
        }
        for (index, (here, there)) in zip(parameters, known.parameters).enumerated()
        where here != there {
            return "parameter \(index + 1) of \(name) is \(here), not \(there)"
        }
        return "\(name) returns \(returns), not \(known.returns)"
    }
}

/// A named function or field of the kernel that is not as the module expects.
struct Difference: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
