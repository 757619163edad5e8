import CShortfuseABI
import Glibc
import SystemPackage

/// Whether a kernel's FUSE is as the module expects: each function that it hooks or calls, each
/// field that it reads or writes. For the running kernel before attaching, and for a kernel of
/// which there is only a file.
public struct KernelFit: Sendable {
    /// A group of functions or fields.
    public struct Part: Sendable {
        public let name: String
        /// What was found and fits.
        public let found: [String]
        /// What is not as the module expects; empty: all fits.
        public let differences: [String]
    }

    public let parts: [Part]
    /// Complete only if everything fits.
    let layout: sf_layout
    /// The kernel's release, if it is known.
    public let release: String?

    public var differences: [String] { parts.flatMap(\.differences) }
    public var fits: Bool { differences.isEmpty }

    /// For the running kernel.
    public static func running() throws(KernelCacheError) -> KernelFit {
        KernelFit(try KernelBTF.running(), release: TriedKernels.running)
    }

    /// - Parameters:
    ///   - kernel: BTF as in /sys/kernel/btf/vmlinux, or ELF with BTF.
    ///   - fuse: the same for the module, if FUSE is one.
    public static func reading(
        kernel: FilePath, fuse: FilePath?
    ) throws(BTFFileError) -> KernelFit {
        let kernel = try BTFFile(kernel, .kernel)
        var module: BTFFile?
        if let fuse { module = try BTFFile(fuse, .fuse) }
        return KernelFit(
            try KernelBTF.parse(kernel: kernel, fuse: module),
            release: module?.release)
    }

    init(_ btf: KernelBTF, release: String?) {
        var layout = FuseLayout(btf: btf)
        let division = Division(btf)
        parts = [
            Self.part("request hooks", HookTable.requests, btf),
            Self.part("write hooks", HookTable.writes, btf),
            Self.part("attach hooks", HookTable.attach(division), btf),
            Self.part("calls", HookTable.calls(division), btf),
            Self.part("requests", FieldTable.requests, &layout),
            Self.part("pages", FieldTable.pages, &layout, beginning: FieldTable.pagesBeginning),
            Self.part("connection", FieldTable.connection(division), &layout),
            Self.part("attach", FieldTable.attach, &layout, beginning: FieldTable.inodeBeginning),
        ]
        self.layout = layout.layout
        self.release = release
    }

    /// Throws unless everything fits.
    public func require() throws(KernelCacheError) {
        guard fits else { throw .unknownKernel(differences: differences) }
    }

    private static func part(
        _ name: String, _ hooks: [HookTable.Hook], _ btf: KernelBTF
    ) -> Part {
        var found: [String] = []
        var differences: [String] = []
        for hook in hooks {
            switch hook.check(btf) {
            case .success(let function): found.append(function)
            case .failure(let difference): differences.append(difference.description)
            }
        }
        return Part(name: name, found: found, differences: differences)
    }

    private static func part(
        _ name: String, _ fields: [FieldTable.Field], _ layout: inout FuseLayout,
        beginning: FieldTable.Beginning? = nil
    ) -> Part {
        var structs: [String] = []
        // If a struct is missing, only that is reported, not each of its fields.
        var differences: [String] = []
        func note(_ difference: Difference) {
            guard !differences.contains(difference.description) else { return }
            differences.append(difference.description)
        }
        for field in fields {
            do throws(Difference) {
                try layout.read(field)
                if let name = field.structs.first(where: { layout.btf.structure($0) != nil }),
                    !structs.contains(name)
                {
                    structs.append(name)
                }
            } catch {
                note(error)
            }
        }
        if let beginning {
            do throws(Difference) {
                try layout.check(beginning)
            } catch {
                note(error)
            }
        }
        return Part(name: name, found: structs.map { "struct \($0)" }, differences: differences)
    }
}
