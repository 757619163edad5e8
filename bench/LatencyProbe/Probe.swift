import Glibc
import Histogram
import Syscall

/// Runs operations on all subjects, interleaved.
struct Probe {
    private let subjects: [Subject]
    private let dataSet: DataSet
    /// What two readings of the clock with nothing between them show, in ns.
    let clockCost: UInt64
    /// Per subject, the paths of what was found to be as made.
    private var checked: [String: Set<String>] = [:]

    init(subjects: [Subject], dataSet: DataSet) {
        self.subjects = subjects
        self.dataSet = dataSet
        clockCost = Self.measureClock()
    }

    mutating func measure(_ operation: Operation, rounds: Int) throws -> [Row] {
        let entries = operation.entries(in: dataSet)
        let block = Block(operation, on: entries)
        let rounds = operation.rounds(of: rounds)
        var tallies: [Tally] = []
        for subject in subjects {
            try subject.forgetNodes()
            if operation.isChecked { try check(entries, on: subject) }
            if try isPossible(operation, block, on: subject) {
                tallies.append(Tally(subject: subject))
            }
        }
        guard !tallies.isEmpty else { return [] }
        var lastNote = Syscall.monotonicNanoseconds()
        note("\(operation.rawValue): warm-up, then \(rounds) rounds")
        for round in 0...rounds {
            if operation.isShuffled { block.shuffle(seed: UInt64(round)) }
            for index in order(round, of: tallies.count) {
                try measure(block, isCounted: round > 0, &tallies[index])
            }
            if Syscall.monotonicNanoseconds() - lastNote > 5_000_000_000 {
                lastNote = Syscall.monotonicNanoseconds()
                note("\(operation.rawValue): round \(round) of \(rounds)")
            }
        }
        return tallies.map { $0.row(operation) }
    }

    private mutating func check(_ entries: [any Entry], on subject: Subject) throws {
        for entry in entries where checked[subject.name]?.contains(entry.path) != true {
            do {
                try entry.check(below: subject.root)
            } catch let error as ProbeError {
                throw ProbeError("subject \(subject.name): \(error)")
            }
            checked[subject.name, default: []].insert(entry.path)
        }
    }

    /// Whether the subject has the operation at all; says so if not.
    private func isPossible(
        _ operation: Operation, _ block: Block, on subject: Subject
    ) throws -> Bool {
        do {
            try subject.root.asWorkingDirectory {
                let root = subject.root.descriptor
                try block.prepare(under: root, source: source(of: subject))
                try block.run(under: root, count: 1)
            }
            return true
        } catch let error as ProbeError {
            guard let refusal = operation.refusal, error.errorNumber == refusal else {
                throw ProbeError("subject \(subject.name): \(error)")
            }
            note(
                "\(operation.rawValue): left out for \(subject.name), whose file system refuses it "
                    + "(\(String(cString: strerror(refusal))))")
            return false
        }
    }

    /// The directory that `subject` mirrors, if it was given, too: as the first.
    private func source(of subject: Subject) -> CInt? {
        guard let first = subjects.first, !first.isMount, subject.isMount else { return nil }
        return first.root.descriptor
    }

    /// Rotates by one each round, and runs backwards every other round.
    private func order(_ round: Int, of count: Int) -> [Int] {
        let rotated = (0..<count).map { ($0 + round) % count }
        return round % 2 == 0 ? rotated : rotated.reversed()
    }

    private func measure(_ block: Block, isCounted: Bool, _ tally: inout Tally) throws {
        let subject = tally.subject
        let root = subject.root.descriptor
        do {
            try subject.root.asWorkingDirectory {
                // So that a subject does not pay for its neighbour's hold on the processor's caches
                // and for its own daemon's sleep. Where few calls make a round, one takes long.
                try block.prepare(under: root, source: source(of: subject))
                try block.run(under: root, count: min(50, block.count / 10))
                try block.prepare(under: root, source: source(of: subject))
                let before = try subject.requestCount()
                try block.run(under: root)
                let after = try subject.requestCount()
                guard isCounted else { return }
                tally.add(block.samples, less: clockCost)
                tally.requests += after - before
            }
        } catch let error as ProbeError {
            throw ProbeError("subject \(subject.name): \(error)")
        }
    }

    private static func measureClock() -> UInt64 {
        var samples: [UInt64] = []
        for _ in 0..<20_000 {
            let start = Syscall.monotonicNanoseconds()
            samples.append(Syscall.monotonicNanoseconds() &- start)
        }
        return median(of: samples)
    }
}

/// What is known of one subject so far.
private struct Tally {
    let subject: Subject
    private var latencies = Histogram<UInt64>(
        highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
    /// Nanoseconds of all calls of a round together.
    private var passes: [UInt64] = []
    var requests: UInt64 = 0

    init(subject: Subject) {
        self.subject = subject
    }

    mutating func add(_ samples: UnsafeMutableBufferPointer<UInt64>, less clockCost: UInt64) {
        var pass: UInt64 = 0
        for sample in samples {
            let latency = sample - min(sample, clockCost)
            pass += latency
            // A call longer than the histogram's minute counts as a minute.
            latencies.record(min(latency, latencies.highestTrackableValue))
        }
        passes.append(pass)
    }

    func row(_ operation: Operation) -> Row {
        Row(
            operation: operation.rawValue, subject: subject.name,
            p50: latencies.valueAtPercentile(50), p99: latencies.valueAtPercentile(99),
            pass: median(of: passes), operations: latencies.totalCount,
            daemonRequests: subject.isCounted ? requests : nil)
    }
}

private func median(of values: [UInt64]) -> UInt64 {
    values.isEmpty ? 0 : values.sorted()[values.count / 2]
}
