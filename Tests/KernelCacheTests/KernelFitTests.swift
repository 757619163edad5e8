import CLibBPF
import Glibc
import SystemPackage
import Testing

@testable import KernelCache

/// Kernels that differ in one thing: it must be told by its name.
@Suite struct KernelFitTests {
    private static func fit(_ kernel: [UInt8], _ fuse: [UInt8]? = nil) throws -> KernelFit {
        try withFile(kernel) { kernel in
            guard let fuse else { return try KernelFit.reading(kernel: kernel, fuse: nil) }
            return try withFile(fuse) { try KernelFit.reading(kernel: kernel, fuse: $0) }
        }
    }

    /// Why the files cannot be used.
    private static func refusal(_ kernel: [UInt8], _ fuse: [UInt8]? = nil) throws -> String {
        do {
            _ = try fit(kernel, fuse)
            return ""
        } catch let error as BTFFileError {
            return "\(error.file): \(error)"
        }
    }

    private static func running() throws -> [UInt8] {
        try BTFFileTests.bytes(of: "/sys/kernel/btf/vmlinux")
    }

    @Test func theFakeFits() throws {
        let fit = try Self.fit(FakeKernel.whole.bytes())
        #expect(fit.differences == [])
        #expect(fit.layout.args.size > 0 && fit.layout.end.size == 8)
        #expect(fit.layout.in_pages.size == 1)
        #expect(fit.layout.end_mount.size == 0)
        #expect(fit.layout.conn_chan.size == 8 && fit.layout.chan_conn.size == 8)
        // Where it is in struct fuse_chan.
        #expect(fit.layout.conn_connected.offset == 8)
        #expect(fit.parts.allSatisfy { !$0.found.isEmpty })
    }

    @Test func theFakeOf71Fits() throws {
        let fit = try Self.fit(FakeKernel.undivided.bytes())
        #expect(fit.differences == [])
        #expect(fit.layout.end_mount.size == 8)
        #expect(fit.layout.conn_chan.size == 0 && fit.layout.chan_conn.size == 0)
        // In struct fuse_conn, behind user_id and mounts.
        #expect(fit.layout.conn_connected.offset == 24)
    }

    @Test(.enabled(if: access("/sys/kernel/btf/vmlinux", R_OK) == 0))
    func theRunningKernelIsTheSameAsItsFile() throws {
        let running = try KernelFit.running()
        #expect(running.differences == [])
        #expect(running.release == TriedKernels.running)
        guard access("/sys/kernel/btf/fuse", F_OK) != 0 else { return }
        let read = try KernelFit.reading(kernel: "/sys/kernel/btf/vmlinux", fuse: nil)
        #expect(read.differences == running.differences)
        #expect(read.release == nil)
        withUnsafeBytes(of: read.layout) { read in
            withUnsafeBytes(of: running.layout) { #expect(read.elementsEqual($0)) }
        }
    }

    struct Lie: Sendable, CustomTestStringConvertible {
        /// What must be told, and nothing else.
        let told: String
        let kernel: FakeKernel
        let change: @Sendable (inout FakeKernel) -> Void
        var testDescription: String { told }

        init(
            _ told: String, of kernel: FakeKernel = .whole,
            _ change: @escaping @Sendable (inout FakeKernel) -> Void
        ) {
            self.told = told
            self.kernel = kernel
            self.change = change
        }
    }

    private static let lies = [
        Lie("no function fuse_chan_queue_forget") { $0.remove("fuse_chan_queue_forget") },
        Lie("no function fuse_queue_forget", of: .undivided) { $0.remove("fuse_queue_forget") },
        // Half of the change.
        Lie("no function fuse_chan_queue_forget") {
            $0.change("fuse_chan_queue_forget") {
                $0.name = "fuse_queue_forget"
                $0.parameters[0] = "struct fuse_conn *"
            }
        },
        Lie("no function fuse_queue_forget", of: .undivided) {
            $0.change("fuse_queue_forget") {
                $0.name = "fuse_chan_queue_forget"
                $0.parameters[0] = "struct fuse_chan *"
            }
        },
        Lie("fuse_chan_abort has 1 parameters, not 2: (struct fuse_chan *)") {
            $0.change("fuse_chan_abort") { $0.parameters.removeLast() }
        },
        Lie("no function fuse_chan_abort") { $0.remove("fuse_chan_abort") },
        Lie("parameter 1 of fuse_abort_conn is struct fuse_mount *, not", of: .undivided) {
            $0.change("fuse_abort_conn") { $0.parameters[0] = "struct fuse_mount *" }
        },
        Lie("no function __fuse_simple_request or fuse_simple_request") {
            $0.remove("__fuse_simple_request")
        },
        Lie("fuse_conn_destroy has 2 parameters, not 1: (struct fuse_mount *, int)") {
            $0.change("fuse_conn_destroy") { $0.parameters.append("int") }
        },
        Lie(
            "parameter 1 of fuse_queue_forget is struct fuse_chan *, not struct fuse_conn *",
            of: .undivided
        ) {
            $0.change("fuse_queue_forget") { $0.parameters[0] = "struct fuse_chan *" }
        },
        Lie("parameter 1 of fuse_chan_queue_forget is struct fuse_conn *, not struct fuse_chan *") {
            $0.change("fuse_chan_queue_forget") { $0.parameters[0] = "struct fuse_conn *" }
        },
        Lie("fuse_write_update_attr returns void, not bool") {
            $0.change("fuse_write_update_attr") { $0.returns = "void" }
        },
        Lie("fuse_reverse_inval_entry has 6 parameters, not 5: ") {
            $0.change("fuse_reverse_inval_entry") { $0.parameters.append("u32") }
        },
        Lie("no fuse_conn.connected", of: .undivided) { $0.remove("fuse_conn", "connected") },
        Lie("no fuse_chan.connected") { $0.remove("fuse_chan", "connected") },
        Lie("no fuse_chan.conn") { $0.remove("fuse_chan", "conn") },
        Lie("no fuse_conn.chan") { $0.remove("fuse_conn", "chan") },
        Lie("no fuse_dev.chan") { $0.change("fuse_dev", "chan") { $0.name = "fc" } },
        Lie("no fuse_dev.fc", of: .undivided) { $0.change("fuse_dev", "fc") { $0.name = "chan" } },
        Lie("fuse_dev.chan is struct fuse_conn *, not struct fuse_chan *") {
            $0.change("fuse_dev", "chan") { $0.type = "struct fuse_conn *" }
        },
        Lie("fuse_dev.fc is struct fuse_chan *, not struct fuse_conn *", of: .undivided) {
            $0.change("fuse_dev", "fc") { $0.type = "struct fuse_chan *" }
        },
        Lie("fuse_chan.conn is struct fuse_mount *, not struct fuse_conn *") {
            $0.change("fuse_chan", "conn") { $0.type = "struct fuse_mount *" }
        },
        Lie("no fuse_args_pages.pages or folios") { $0.remove("fuse_args_pages", "folios") },
        Lie("fuse_args.opcode has 8 bytes, not 4") {
            $0.change("fuse_args", "opcode") { $0.type = "u64" }
        },
        Lie("fuse_args.in_numargs is a bit field of width 4 at bit 96, not whole bytes") {
            $0.change("fuse_args", "in_numargs") { $0.bits = 4 }
        },
        Lie(
            "fuse_conn.connected is a bit field of width 1 at bit 192, not whole bytes",
            of: .undivided
        ) {
            $0.change("fuse_conn", "connected") { $0.bits = 1 }
        },
        Lie("fuse_args.out_argvar is u8, not a bit") {
            $0.change("fuse_args", "out_argvar") {
                $0.type = "u8"
                $0.bits = 0
            }
        },
        Lie("fuse_args.end has 1 parameters, not 3: (struct fuse_args *)") {
            $0.change("fuse_args", "end") { $0.type = "function(struct fuse_args *)" }
        },
        Lie("parameter 1 of fuse_args.end is struct fuse_mount *, not struct fuse_args *") {
            $0.change("fuse_args", "end") { $0.type = "function(struct fuse_mount *,int)" }
        },
        Lie("parameter 1 of fuse_args.end is struct fuse_chan *, not struct fuse_mount *") {
            $0.change("fuse_args", "end") {
                $0.type = "function(struct fuse_chan *,struct fuse_args *,int)"
            }
        },
        Lie("fuse_args.end is void *, not a pointer to a function") {
            $0.change("fuse_args", "end") { $0.type = "void *" }
        },
        Lie("fuse_args.in_args is struct fuse_arg[3], not an array of struct fuse_in_arg") {
            $0.change("fuse_args", "in_args") { $0.type = "struct fuse_arg[3]" }
        },
        Lie("fuse_mount.fc is struct fuse_chan *, not struct fuse_conn *") {
            $0.change("fuse_mount", "fc") { $0.type = "struct fuse_chan *" }
        },
        Lie("struct fuse_in_arg has 24 bytes, not 16") { kernel in
            kernel.change("fuse_in_arg", "value") { $0.type = "void *" }
            for index in kernel.structs.indices where kernel.structs[index].name == "fuse_in_arg" {
                kernel.structs[index].fields.append(.init(name: "more", type: "u64"))
            }
        },
        Lie("struct fuse_inode does not begin with struct inode") { kernel in
            for index in kernel.structs.indices where kernel.structs[index].name == "fuse_inode" {
                kernel.structs[index].fields.swapAt(0, 1)
            }
        },
        Lie("no struct fuse_dev") { $0.structs.removeAll { $0.name == "fuse_dev" } },
        Lie("no struct fuse_page_desc or fuse_folio_desc") {
            $0.structs.removeAll { $0.name == "fuse_folio_desc" }
        },
        Lie("fuse_inode.lock is not within the first 4096 bytes") { kernel in
            for index in kernel.structs.indices where kernel.structs[index].name == "fuse_inode" {
                kernel.structs[index].fields.insert(.init(name: "much", type: "u64[512]"), at: 3)
            }
        },
    ]

    @Test(arguments: lies) func aLieIsToldByName(lie: Lie) throws {
        var kernel = lie.kernel
        lie.change(&kernel)
        let fit = try Self.fit(kernel.bytes())
        #expect(fit.differences.count == 1, "\(fit.differences)")
        #expect(fit.differences.first?.hasPrefix(lie.told) == true, "\(fit.differences)")
        let error = #expect(throws: KernelCacheError.self) { try fit.require() }
        #expect(error.map { "\($0)".contains(lie.told) } == true)
    }

    @Test func allDifferencesAreTold() throws {
        var kernel = FakeKernel.undivided
        kernel.remove("fuse_abort_conn")
        kernel.remove("fuse_conn", "connected")
        kernel.remove("fuse_inode", "nlookup")
        #expect(
            try Self.fit(kernel.bytes()).differences == [
                "no function fuse_abort_conn", "no fuse_conn.connected", "no fuse_inode.nlookup",
            ])
    }

    /// Forms of older kernels.
    @Test func olderFormsFit() throws {
        var kernel = FakeKernel.undivided
        kernel.change("__fuse_simple_request") {
            $0.name = "fuse_simple_request"
            $0.parameters.removeFirst()
        }
        kernel.change("fuse_reverse_inval_entry") { $0.parameters.removeLast() }
        kernel.remove("fuse_conn", "passthrough")
        kernel.change("fuse_args_pages", "folios") {
            $0.name = "pages"
            $0.type = "struct page **"
        }
        kernel.change("fuse_args_pages", "num_folios") { $0.name = "num_pages" }
        let fit = try Self.fit(kernel.bytes())
        #expect(fit.differences == [])
        #expect(fit.layout.conn_passthrough.size == 0)
    }

    /// What ends a request and where the connection is divided are changes of their own.
    @Test(arguments: [FakeKernel.whole, .undivided]) func eachEndFits(kernel: FakeKernel) throws {
        for (mount, size) in [("struct fuse_mount *,", UInt16(8)), ("", 0)] {
            let end = "function(\(mount)struct fuse_args *,int)"
            var kernel = kernel
            kernel.change("fuse_args", "end") { $0.type = end }
            let fit = try Self.fit(kernel.bytes())
            #expect(fit.differences == [])
            #expect(fit.layout.end_mount.size == size)
        }
    }

    /// The real one, with one name changed where names are.
    @Test(
        .enabled(
            if: access("/sys/kernel/btf/vmlinux", R_OK) == 0
                && access("/sys/kernel/btf/fuse", F_OK) != 0),
        arguments: [
            ("fuse_queue_forget", "no function fuse_queue_forget"),
            ("fuse_write_update_attr", "no function fuse_write_update_attr"),
            ("nlookup", "no fuse_inode.nlookup"), ("page_zeroing", "no fuse_args.page_zeroing"),
        ])
    func aNameLessInTheRunningKernel(name: String, told: String) throws {
        var bytes = try Self.running()
        // Each name ends with a 0, and the last with the file.
        let place = bytes.withUnsafeBufferPointer { bytes -> Int? in
            var start = bytes.count
            while start > 0 {
                let end = start - 1
                start = end
                while start > 0, bytes[start - 1] != 0 { start -= 1 }
                if bytes[start..<end].elementsEqual(name.utf8) { return start }
            }
            return nil
        }
        bytes[try #require(place)] = UInt8(ascii: "X")
        #expect(try Self.fit(bytes).differences.contains(told))
    }

    // MARK: Modules

    /// A kernel without FUSE, and FUSE on top of it.
    private static func split() throws -> (kernel: [UInt8], fuse: [UInt8]) {
        var kernel = FakeKernel.whole
        kernel.functions = []
        kernel.structs.removeAll { $0.name.hasPrefix("fuse_") }
        let below = kernel.bytes()
        let base = try #require(btf__new(below, UInt32(below.count)))
        defer { btf__free(base) }
        return (below, FakeKernel.whole.bytes(on: base))
    }

    @Test func aModuleFits() throws {
        let (kernel, fuse) = try Self.split()
        #expect(try Self.fit(kernel, fuse).differences == [])
    }

    @Test func filesThatDoNotBelongTogether() throws {
        let (kernel, fuse) = try Self.split()
        #expect(try Self.refusal(kernel).contains("kernel: it has nothing of FUSE"))
        #expect(try Self.refusal(fuse).contains("kernel: the BTF of a module"))
        #expect(try Self.refusal(kernel, kernel).contains("fuse: the BTF of a whole kernel"))
        #expect(try Self.refusal(FakeKernel.whole.bytes(), fuse).contains("fuse: the kernel that"))
        var other = FakeKernel.whole
        other.functions = []
        other.structs = [("something_else", [.init(name: "entry", type: "u64")])]
        #expect(
            try Self.refusal(other.bytes(), fuse).contains("fuse: not of the kernel that --btf has")
        )
    }
}
