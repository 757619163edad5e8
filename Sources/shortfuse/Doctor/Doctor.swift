import ArgumentParser
import Glibc
import MountRegistry
import SystemPackage

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Checks whether this kernel can accelerate, and says what to do if not.",
        discussion: """
            Prints one line for each requirement: ok, warn (works, with a restriction) or missing, \
            with what was found and what to do. Changes nothing. Run it as root: other users cannot \
            load BPF programs, so it could only guess.

            Without acceleration shortfuse still mounts, as an ordinary FUSE file system.

            --report writes everything that a bug report needs to a file, in JSON: these \
            lines, the figures of the mounts and the end of their logs. It leaves out paths and names \
            of files. Read it before you send it.

            --btf checks another kernel by its BTF alone: whether every function \
            that the module hooks and every field that it reads has the known shape. This does not \
            mean that shortfuse was tried on that kernel, nor that the module can be built for it. \
            scripts/kernel-btf extracts the BTF of Debian's kernels.

            Exit codes: 0 acceleration works here (--btf: the kernel fits), 1 it does not.

            Examples:
              shortfuse doctor
              shortfuse doctor --btf /sys/kernel/btf/vmlinux
              shortfuse doctor --btf vmlinux --fuse-btf fuse.ko
            """)

    @Flag(help: "Print JSON.")
    var json = false

    @Option(
        help: ArgumentHelp("Also write what a bug report needs to this file.", valueName: "file"))
    var report: Path?

    @Option(
        help: ArgumentHelp(
            "Check the kernel with this BTF: raw, as /sys/kernel/btf/vmlinux, or in an ELF file.",
            valueName: "file"))
    var btf: Path?

    @Option(
        help: ArgumentHelp(
            "The BTF of that kernel's module fuse, if FUSE is a module: /sys/kernel/btf/fuse, or fuse.ko.",
            valueName: "file"))
    var fuseBtf: Path?

    func validate() throws {
        if fuseBtf != nil, btf == nil {
            throw ValidationError(
                "--fuse-btf refers to its kernel's BTF: give that, too, with --btf")
        }
        if report != nil, btf != nil {
            throw ValidationError("--report is of the kernel that runs: leave out --btf")
        }
    }

    func run() throws {
        if let btf { return try judge(btf) }
        let facts = SystemFacts.gather()
        if let report { try write(BugReport(facts: facts), to: report) }
        let report = DoctorReport(kernel: facts.release, checks: facts.checks)
        if json {
            try JSON.print(report)
        } else {
            print(report.text)
        }
        if !report.accelerate {
            throw ExitCode.failure
        }
    }

    private func judge(_ btf: Path) throws {
        let report = try BTFReport(btf: btf, fuse: fuseBtf)
        if json {
            try JSON.print(report)
        } else {
            print(report.text)
        }
        if !report.fits { throw ExitCode.failure }
    }

    private func write(_ report: BugReport, to path: Path) throws(Failure) {
        let bytes = try JSON.encode(report)
        do throws(Errno) {
            try Files.replace(path, with: bytes)
        } catch {
            throw Failure("\(path): \(error); give a file in a directory where you may write")
        }
    }
}

/// What doctor found out about one requirement.
struct Check: Equatable, Encodable, Sendable {
    enum Status: String, Encodable, Sendable {
        case ok, warn, missing
    }

    let name: String
    let status: Status
    let found: String
    /// Nil if there is nothing to do.
    let mend: String?

    static func ok(_ name: String, _ found: String) -> Check {
        Check(name: name, status: .ok, found: found, mend: nil)
    }

    static func warn(_ name: String, _ found: String, mend: String) -> Check {
        Check(name: name, status: .warn, found: found, mend: mend)
    }

    static func missing(_ name: String, _ found: String, mend: String) -> Check {
        Check(name: name, status: .missing, found: found, mend: mend)
    }

    var text: String {
        let label = status.rawValue + String(repeating: " ", count: 8 - status.rawValue.count)
        return label + "\(name): \(found)" + (mend.map { "; \($0)" } ?? "")
    }
}

/// What `doctor --json` prints.
struct DoctorReport: Encodable {
    let kernel: String
    let accelerate: Bool
    let checks: [Check]

    init(kernel: String, checks: [Check]) {
        self.kernel = kernel
        self.checks = checks
        accelerate = !checks.contains { $0.status == .missing }
    }

    var text: String {
        let missing = checks.filter { $0.status == .missing }.map(\.name)
        let verdict =
            accelerate
            ? "Acceleration works here."
            : "No acceleration here, only plain FUSE. Missing: "
                + missing.joined(separator: ", ") + "."
        return (checks.map(\.text) + [verdict]).joined(separator: "\n")
    }
}
