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
            that the subject's daemon has received, kept up to date by the daemon, or "-" if it does not \
            count. DIRECTORY must then be a mount's root: it is remounted before each operation, so that the daemon \
            knows no more nodes than that uses (needs root). Without COUNTERFILE, the subject \
            counts as one without a daemon.

            Each operation runs in rounds; in each round every subject makes all its calls. The \
            order of the subjects rotates, and turns around every other round, so that drift and \
            neighbourhood hit all alike. The first round is not counted. Every call is timed by \
            itself. Before an operation each subject's files are compared with the data set, all \
            bytes; of each call's result at least the size and the last bytes. An operation that a \
            subject's file system does not have is left out for it.

            Operations, and the calls of a round ("read" is one read of the whole file):
              stat                    fstatat; the --files files of 4 KiB
              stat-missing            fstatat; a name beside each that does not exist
              open-read-close         openat, read, close; each of them
              open-read-close-1k      the same; 100 files of 1 KiB
              open-read-close-16k     the same; 100 files of 16 KiB
              open-read-close-64k     the same; 50 files of 64 KiB
              open-read-close-direct  the same with O_DIRECT; 100 files of 4 KiB
              mmap-read               openat, mmap, touch of each page, munmap, close;
                                      100 files of 16 KiB
              readlink                readlinkat; 100 links
              getxattr-absent         getxattr of what is not there; 100 files
              readdir-stat            openat, getdents64 of all, fstatat of each, close:
                                      one call for a directory of 1,000 files; 2 calls
              epoch                   openat, read, close; 2,000 files of 1-16 KiB, 3
                                      deep, shuffled anew each round; half the rounds
            and only if named:
              create                  openat with O_CREAT|O_EXCL, close; 200 names
              unlink                  unlinkat; 200 empty files
              read-sequential         pread of 1 MiB; 64 pieces of a file. Before, a
                                      mount's page cache (not SOURCE's) loses the file
              read-random             the same of 4 KiB; 1,000 pieces, no read-ahead
              write-sequential        pwrite of 1 MiB; 16 pieces of a file
              readdir-large           openat, getdents64 of all, close: one call for
                                      a directory of 100,000 empty files
              ls, ls-R, ls-l          that command on it
              statfs                  statfs; 100 files
              git-status              git status of 2,000 files
              python-imports          python3 that imports 100 modules
            --prepare makes the files of these only if they are named, too.

            Example:
              latency-probe --prepare /srv/data
              latency-probe --subject native=/srv/data --subject mirror=/mnt/m:/run/m/requests
            """)

    @Option(help: "Make the data set in this directory; other files there stay.")
    var prepare: String?

    @Option(name: .customLong("subject"), help: "NAME=DIRECTORY[:COUNTERFILE]; may be repeated.")
    var subjects: [SubjectArgument] = []

    @Option(
        name: .customLong("operation"),
        help: "Operation to measure; may be repeated (default: all but the last ones above).")
    var operations: [Operation] = []

    @Option(help: "Files of 4096 bytes in the data set.")
    var files = 1000

    @Option(help: "Path components from a subject's root to a file, at least 2.")
    var depth = 4

    @Option(help: "Counted rounds.")
    var rounds = 20

    @Option(help: "Write the result to this file as JSON.")
    var json: String?

    func validate() throws {
        guard files > 0, rounds > 0 else {
            throw ValidationError("--files and --rounds must be at least 1.")
        }
        guard depth > 1 else { throw ValidationError("--depth must be at least 2.") }
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
            let root = try Root(prepare)
            for entry in dataSet.entries(for: operations) { try entry.create(below: root) }
        }
        if subjects.isEmpty { return }

        #if DEBUG
            note("debug build: its own overhead is in every figure")
        #endif
        let subjects = try subjects.map { try Subject($0) }
        var probe = Probe(subjects: subjects, dataSet: dataSet)
        var rows: [Row] = []
        for operation in operations.isEmpty ? Array(Operation.usual) : operations {
            rows += try probe.measure(operation, rounds: rounds)
        }

        let report = Report(
            kernel: kernelRelease(), reference: subjects.first?.name ?? "", rows: rows)
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
    /// The system call's.
    let errorNumber: CInt?

    init(_ description: String) {
        self.description = description
        errorNumber = nil
    }

    /// Call at once after the failed call: takes errno.
    init(errnoOf what: String) {
        let errorNumber = errno
        self.errorNumber = errorNumber
        description = "\(what): \(String(cString: strerror(errorNumber)))"
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
