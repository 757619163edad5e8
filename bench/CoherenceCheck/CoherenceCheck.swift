import ArgumentParser
import Glibc
import Syscall

/// Makes random calls from several threads and checks that what they saw is linearizable.
@main
struct CoherenceCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coherence-check",
        abstract: "Check that a file system is linearizable under random calls.",
        discussion: """
            Threads make random calls on a few names and files, and note each call, its result, \
            its start and its end. After each round the notes are checked per object; the states \
            in which an object can be then are where the next round begins. The first round with \
            a violation ends the run and is printed.

            Ends with 'N operations, V violations'. Exit status: 0 without a violation, 1 with \
            one, 64 for wrong arguments.
            """,
        subcommands: [Mount.self, OfPrograms.self])
}

extension Ability: ExpressibleByArgument {}

struct Shared: ParsableArguments {
    @Option(help: "Calls to make.")
    var operations = 100_000

    @Option(help: "Where the random numbers begin.")
    var seed: UInt64 = 1

    @Option(help: "Threads.")
    var workers = 4

    @Option(help: "Calls of each thread between two checks.")
    var roundLength = 48

    func validate() throws {
        guard operations > 0, (1...16).contains(workers), (1...1000).contains(roundLength) else {
            throw ValidationError(
                "--operations must be positive, --workers 1 to 16, --round-length 1 to 1000.")
        }
    }

    var options: Run.Options {
        .init(
            operations: operations, seed: seed, workers: workers, roundLength: roundLength)
    }
}

/// Prints the result. Throws the exit status.
private func report(
    _ result: (operations: Int, violations: [String], mixedReads: Int), note text: String
) throws {
    // A broken cache breaks many things at once; the first will do.
    for violation in result.violations.prefix(5) { print("violation: \(violation)") }
    print("\(result.mixedReads) reads met a write half-way\(text)")
    print("\(result.operations) operations, \(result.violations.count) violations")
    if !result.violations.isEmpty { throw ExitCode(1) }
}

struct Mount: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "By system calls in a directory, which must be empty.")

    @OptionGroup var shared: Shared

    @Flag(
        help: """
            Each attribute is read by itself: for file systems whose stat(2) is not atomic, as \
            are all but an accelerated mount.
            """)
    var separateAttributes = false

    @Option(help: "Have the kernel drop its dentries and inodes after each so many milliseconds.")
    var dropCaches: Int?

    @Option(help: "Change files in SOURCE, too: a change is to show within so many milliseconds.")
    var behind: Int?

    @Option(help: "What is mounted; for --behind.")
    var source: String?

    @Option(
        help:
            "What the file system cannot: exchange, links, counting, renaming, replacing, holding, direct."
    )
    var lacking: [Ability] = []

    @Option(
        help: """
            The same directory by another mount: every other thread works there, and renames \
            nothing.
            """)
    var also: String?

    @Argument var directory: String

    func validate() throws {
        guard behind == nil || source != nil && (1...60_000).contains(behind ?? 0) else {
            throw ValidationError("--behind must be 1 to 60000, and needs --source.")
        }
    }

    func run() throws {
        try Layout.make(in: directory)
        var options = shared.options
        options.lacking = Set(lacking)
        if let behind, let source {
            options.behind = .init(
                source: source, mount: directory, delay: UInt64(behind) * 1_000_000)
        }
        let dropper = try dropCaches.map { try Dropper(milliseconds: $0) }
        let result = Run(options).run {
            [directory, also, separateAttributes, lacking] number in
            var lacking = Set(lacking)
            if also != nil { lacking.insert(.counting) }
            let isElsewhere = number % 2 != 0 && also != nil
            if isElsewhere { lacking.insert(.renaming) }
            return try MountClient(
                isElsewhere ? also ?? directory : directory,
                readsStatusAtOnce: !separateAttributes, lacking: lacking)
        }
        let drops = dropper.map { ", caches dropped \($0.stop()) times" } ?? ""
        try report(result, note: drops)
    }
}

struct OfPrograms: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "programs",
        abstract: "The BPF programs against the mirror, in this process: no module, no mount.",
        discussion: "Each question is put to the programs first, and to the mirror if they pass.")

    @OptionGroup var shared: Shared

    @Argument(help: "SOURCE: an empty directory.") var directory: String

    func run() throws {
        try Layout.make(in: directory)
        let programs = try Programs(directory)
        let options = shared.options
        var result = Run(options).run { number in
            try ProgramsClient(programs, seed: options.seed &* 31 &+ UInt64(number))
        }
        let left = programs.close()
        if left != 0, result.violations.isEmpty {
            result.violations.append("\(left) nodes are left when all lookups are forgotten")
        }
        let answered = programs.answered.load(ordering: .relaxed)
        let passed = programs.passed.load(ordering: .relaxed)
        try report(result, note: "; the programs answered \(answered) and passed \(passed)")
    }
}
