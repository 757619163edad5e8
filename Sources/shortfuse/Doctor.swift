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

            Exit codes: 0 acceleration works here, 1 it does not.
            """)

    @Flag(help: "Print JSON.")
    var json = false

    @Option(
        help: ArgumentHelp("Also write a report for the developers there.", valueName: "file"))
    var report: Path?

    func run() throws {
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
