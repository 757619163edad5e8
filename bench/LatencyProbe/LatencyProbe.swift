import ArgumentParser
import Glibc

/// Measures the same calls on several directories ("subjects") that hold the same data set.
@main
struct LatencyProbe: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latency-probe",
        abstract: "Measure file system latencies of several subjects, interleaved.",
        discussion: """
            A subject is NAME=DIRECTORY or NAME=DIRECTORY:COUNTERFILE. All must hold the data set \
            that --prepare makes. The first subject is the one that ratios refer to.

            COUNTERFILE is a file of 64 little-endian 64-bit counts, the requests per FUSE opcode \
            that the subject's daemon has received, kept up to date by the daemon. Without one, the \
            subject counts as one without a daemon.

            Each operation runs in rounds; in each round every subject makes the call once for \
            every file. The order of the subjects rotates, and turns around every other round, so \
            that drift and neighbourhood hit all alike. The first round is not counted. Every \
            call is timed by itself.

            Operations:
              stat             fstatat of each file, relative to the open root of the subject
              stat-missing     the same for a name beside each file that does not exist
              open-read-close  openat, read of 4096 bytes, close

            Example:
              latency-probe --prepare /srv/data
              latency-probe --subject native=/srv/data --subject mirror=/mnt/m:/run/m/requests
            """)

    @Option(help: "Make the data set in this directory; what is already there stays.")
    var prepare: String?

    @Option(name: .customLong("subject"), help: "NAME=DIRECTORY[:COUNTERFILE]; may be repeated.")
    var subjects: [SubjectArgument] = []

    @Option(
        name: .customLong("operation"),
        help: "Operation to measure; may be repeated (default: all).")
    var operations: [Operation] = []

    @Option(help: "Files in the data set, of 4096 bytes each.")
    var files = 1000

    @Option(help: "Path components from a subject's root to a file.")
    var depth = 4

    @Option(help: "Counted rounds.")
    var rounds = 20

    @Option(help: "Write the result to this file as JSON.")
    var json: String?

    func validate() throws {
        guard files > 0, depth > 0, rounds > 0 else {
            throw ValidationError("--files, --depth and --rounds must be at least 1.")
        }
        guard prepare != nil || !subjects.isEmpty else {
            throw ValidationError("Nothing to do: give --subject or --prepare.")
        }
        guard Set(subjects.map(\.name)).count == subjects.count else {
            throw ValidationError("Two subjects have the same name.")
        }
    }

    func run() throws {
        let dataSet = DataSet(files: files, depth: depth)
        if let prepare {
            try dataSet.create(in: prepare)
        }
        if subjects.isEmpty { return }

        #if DEBUG
            note("debug build: its own overhead is in every figure")
        #endif
        let probe = Probe(
            subjects: try subjects.map { try Subject($0, checkedBy: dataSet) }, dataSet: dataSet)
        var rows: [Row] = []
        for operation in operations.isEmpty ? Operation.allCases : operations {
            rows += try probe.measure(operation, rounds: rounds)
        }

        let report = Report(kernel: kernelRelease(), rows: rows)
        print(report.table())
        print(
            "Of each sample the clock's own cost was subtracted:",
            "\(probe.clockCost) ns (median of two readings with nothing between).")
        if let json {
            try report.writeJSON(to: json)
        }
    }
}

/// A failed system call, or a subject that does not behave as its data set says.
struct ProbeError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }

    /// Call at once after the failed call: takes errno.
    init(errnoOf what: String) {
        description = "\(what): \(String(cString: strerror(errno)))"
    }
}

/// One line for whoever waits; standard output is for the table alone.
func note(_ line: String) {
    let text = "latency-probe: \(line)\n"
    _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) }
}

private func kernelRelease() -> String {
    var name = utsname()
    uname(&name)
    return withUnsafeBytes(of: &name.release) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
