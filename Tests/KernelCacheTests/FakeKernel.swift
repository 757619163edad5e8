import CLibBPF
import Glibc
import SystemPackage

@testable import KernelCache

/// A kernel as far as its BTF tells of FUSE, to be changed before it is written to a file.
struct FakeKernel {
    struct Field {
        var name: String
        /// As C has it: "struct fuse_conn *", "u32", "struct fuse_arg[2]", "function(…)" for a pointer
        /// to one.
        var type: String
        /// 0: whole.
        var bits: UInt32 = 0
    }

    struct Function {
        var name: String
        var parameters: [String]
        var returns: String
    }

    var structs: [(name: String, fields: [Field])]
    var functions: [Function]

    /// All that the module knows, in its newest form.
    static let whole: FakeKernel = {
        let hooks =
            HookTable.requests + HookTable.writes + HookTable.attach(.divided)
            + HookTable.calls(.divided)
        let functions = hooks.compactMap(\.forms.first).map {
            Function(
                name: $0.name, parameters: $0.prototype.parameters, returns: $0.prototype.returns)
        }
        return FakeKernel(structs: structs, functions: functions)
    }()

    private static let structs: [(name: String, fields: [Field])] = [
        ("list_head", [Field(name: "next", type: "void *"), Field(name: "prev", type: "void *")]),
        ("inode", [Field(name: "i_ino", type: "u64")]),
        ("fuse_in_arg", [Field(name: "size", type: "u32"), Field(name: "value", type: "void *")]),
        ("fuse_arg", [Field(name: "size", type: "u32"), Field(name: "value", type: "void *")]),
        (
            "fuse_args",
            [
                Field(name: "nodeid", type: "u64"), Field(name: "opcode", type: "u32"),
                Field(name: "in_numargs", type: "u8"), Field(name: "out_numargs", type: "u8"),
                Field(name: "in_pages", type: "bool", bits: 1),
                Field(name: "out_pages", type: "bool", bits: 1),
                Field(name: "out_argvar", type: "bool", bits: 1),
                Field(name: "page_zeroing", type: "bool", bits: 1),
                Field(name: "in_args", type: "struct fuse_in_arg[3]"),
                Field(name: "out_args", type: "struct fuse_arg[2]"),
                Field(name: "end", type: "function(struct fuse_args *,int)"),
            ]
        ),
        (
            "fuse_folio_desc",
            [Field(name: "length", type: "u32"), Field(name: "offset", type: "u32")]
        ),
        (
            "fuse_args_pages",
            [
                Field(name: "args", type: "struct fuse_args"),
                Field(name: "folios", type: "struct folio **"),
                Field(name: "descs", type: "struct fuse_folio_desc *"),
                Field(name: "num_folios", type: "u32"),
            ]
        ),
        (
            "fuse_mount",
            [
                Field(name: "fc", type: "struct fuse_conn *"),
                Field(name: "fc_entry", type: "struct list_head"),
            ]
        ),
        ("fuse_dev", [Field(name: "chan", type: "struct fuse_chan *")]),
        (
            "fuse_chan",
            [
                Field(name: "conn", type: "struct fuse_conn *"),
                Field(name: "connected", type: "u32"),
            ]
        ),
        (
            "fuse_conn",
            [
                Field(name: "user_id", type: "kuid_t"),
                Field(name: "mounts", type: "struct list_head"),
                Field(name: "chan", type: "struct fuse_chan *"),
                Field(name: "default_permissions", type: "u32", bits: 1),
                Field(name: "writeback_cache", type: "u32", bits: 1),
                Field(name: "passthrough", type: "u32", bits: 1),
            ]
        ),
        (
            "fuse_inode",
            [
                Field(name: "inode", type: "struct inode"), Field(name: "nodeid", type: "u64"),
                Field(name: "nlookup", type: "u64"), Field(name: "lock", type: "spinlock_t"),
            ]
        ),
    ]

    /// The same of 7.1: what concerns the device is in the connection.
    static let undivided: FakeKernel = {
        var kernel = whole
        kernel.structs.removeAll { $0.name == "fuse_chan" }
        kernel.change("fuse_dev", "chan") { $0 = Field(name: "fc", type: "struct fuse_conn *") }
        kernel.change("fuse_conn", "chan") { $0 = Field(name: "connected", type: "u32") }
        kernel.change("fuse_args", "end") {
            $0.type = "function(struct fuse_mount *,struct fuse_args *,int)"
        }
        kernel.change("fuse_chan_queue_forget") {
            $0.name = "fuse_queue_forget"
            $0.parameters[0] = "struct fuse_conn *"
        }
        kernel.change("fuse_chan_abort") {
            $0.name = "fuse_abort_conn"
            $0.parameters = ["struct fuse_conn *"]
        }
        return kernel
    }()

    // MARK: Changes

    mutating func change(_ function: String, _ body: (inout Function) -> Void) {
        for index in functions.indices where functions[index].name == function {
            body(&functions[index])
        }
    }

    mutating func change(_ structName: String, _ field: String, _ body: (inout Field) -> Void) {
        for index in structs.indices where structs[index].name == structName {
            for inner in structs[index].fields.indices
            where structs[index].fields[inner].name == field {
                body(&structs[index].fields[inner])
            }
        }
    }

    mutating func remove(_ structName: String, _ field: String) {
        for index in structs.indices where structs[index].name == structName {
            structs[index].fields.removeAll { $0.name == field }
        }
    }

    mutating func remove(_ function: String) {
        functions.removeAll { $0.name == function }
    }

    // MARK: BTF

    /// - Parameter base: the kernel below, if this is a module.
    func bytes(on base: OpaquePointer? = nil) -> [UInt8] {
        let writer = Writer(base: base)
        for (name, fields) in structs { writer.add(name, fields) }
        for function in functions { writer.add(function) }
        return writer.bytes
    }

    /// Makes BTF of C's names for types.
    private final class Writer {
        private let btf: OpaquePointer?
        private var known: [String: CInt] = ["void": 0]
        private var sizes: [CInt: UInt32] = [:]

        init(base: OpaquePointer?) {
            btf = base.map { btf__new_empty_split($0) } ?? btf__new_empty()
        }

        deinit { btf__free(btf) }

        var bytes: [UInt8] {
            var size: UInt32 = 0
            guard let data = btf__raw_data(btf, &size) else { return [] }
            return Array(UnsafeRawBufferPointer(start: data, count: Int(size)))
        }

        /// Fields follow each other, each aligned to its size, at the most to 8 bytes.
        func add(_ name: String, _ fields: [Field]) {
            var placed: [(field: Field, type: CInt, bit: UInt32)] = []
            var end: UInt32 = 0
            for field in fields {
                let type = type(field.type)
                if field.bits == 0 {
                    let size = sizes[type] ?? 8
                    let alignment = min(size, 8) * 8
                    end = (end + alignment - 1) / alignment * alignment
                    placed.append((field, type, end))
                    end += size * 8
                } else {
                    placed.append((field, type, end))
                    end += field.bits
                }
            }
            let bytes = (end + 63) / 64 * 8
            let id = btf__add_struct(btf, name, bytes)
            for (field, type, bit) in placed {
                btf__add_field(btf, field.name, type, bit, field.bits)
            }
            known["struct \(name)"] = id
            sizes[id] = bytes
        }

        func add(_ function: Function) {
            let prototype = prototype(function.parameters, returns: function.returns)
            btf__add_func(btf, function.name, BTF_FUNC_STATIC, prototype)
        }

        private func prototype(_ parameters: [String], returns: String) -> CInt {
            // First, or they would come between the prototype and its parameters.
            let types = parameters.map(type)
            let result = type(returns)
            let id = btf__add_func_proto(btf, result)
            for type in types { btf__add_func_param(btf, "", type) }
            return id
        }

        private func type(_ name: String) -> CInt {
            if let id = known[name] { return id }
            let id = make(name)
            known[name] = id
            return id
        }

        private func make(_ name: String) -> CInt {
            if name.hasPrefix("function(") {
                let parameters = name.dropFirst(9).dropLast().split(separator: ",").map(String.init)
                return btf__add_ptr(btf, prototype(parameters, returns: "void"))
            }
            if name.hasSuffix("*") {
                var target = name.dropLast()
                if target.last == " " { target = target.dropLast() }
                return btf__add_ptr(btf, type(String(target)))
            }
            if let bracket = name.firstIndex(of: "["), name.hasSuffix("]") {
                let element = type(String(name[..<bracket]))
                let count = UInt32(name[name.index(after: bracket)...].dropLast()) ?? 0
                let id = btf__add_array(btf, type("u32"), element, count)
                sizes[id] = (sizes[element] ?? 0) * count
                return id
            }
            if name.hasPrefix("struct ") {
                return btf__add_fwd(btf, String(name.dropFirst(7)), BTF_FWD_STRUCT)
            }
            let bytes = ["u8": 1, "bool": 1, "u64": 8, "loff_t": 8, "ssize_t": 8][name] ?? 4
            let id = btf__add_int(btf, name, bytes, 0)
            sizes[id] = UInt32(bytes)
            return id
        }
    }
}

/// A file that lives as long as `body` runs.
func withFile<Result>(_ bytes: [UInt8], _ body: (FilePath) throws -> Result) throws -> Result {
    var template = Array("/tmp/shortfuse-btf-XXXXXX".utf8CString)
    let descriptor = FileDescriptor(rawValue: mkstemp(&template))
    let path = FilePath(platformString: template)
    defer { path.withPlatformString { _ = unlink($0) } }
    try descriptor.closeAfter { _ = try descriptor.writeAll(bytes) }
    return try body(path)
}
