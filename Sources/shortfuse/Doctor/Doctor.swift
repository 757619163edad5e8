import ArgumentParser
import Glibc
import SystemPackage

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tells whether this kernel can accelerate, and what to do if not.",
        discussion: """
            One line for each requirement: ok, warn (works, but know this) or missing, with what \
            was found and what to do. Changes nothing. Run it as root: others cannot load BPF \
            programs, so most answers would be guesses.

            Without acceleration shortfuse mounts all the same, as an ordinary FUSE file system.

            With --report everything that a report of a bug needs goes to a file, in JSON: these \
            lines, the mounts' figures, the end of their logs. Paths and names of files are left \
            out. Read it before you pass it on.

            With --btf it looks at another kernel instead, by its BTF alone: whether every function \
            that the module hooks and every field that it looks into is as it knows them. A kernel \
            that fits need not be one on which shortfuse was tried, and only building the \
            module for it tells whether that can be built. scripts/kernel-btf takes the BTF out of \
            Debian's kernels.

            Exit codes: 0 acceleration works here (--btf: it fits), 1 it does not.

            Examples:
              shortfuse doctor
              shortfuse doctor --btf /sys/kernel/btf/vmlinux
              shortfuse doctor --btf vmlinux --fuse-btf fuse.ko
            """)

    @Flag(help: "Print JSON.")
    var json = false

    @Option(
        help: ArgumentHelp("Also write a report for the developers there.", valueName: "file"))
    var report: Path?

    @Option(
        help: ArgumentHelp(
            "Look at the kernel with this BTF: raw, as /sys/kernel/btf/vmlinux, or an ELF file with it.",
            valueName: "file"))
    var btf: Path?

    @Option(
        help: ArgumentHelp(
            "The BTF of its module fuse, where FUSE is one: /sys/kernel/btf/fuse, or fuse.ko.",
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
