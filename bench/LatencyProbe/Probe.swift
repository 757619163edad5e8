import Glibc
import Histogram

/// Runs operations on all subjects, interleaved.
struct Probe {
    let subjects: [Subject]
    let dataSet: DataSet
    /// What two readings of the clock with nothing between them show, in ns.
    let clockCost: UInt64

    /// Calls before each counted block, so that a subject does not pay for its neighbour's hold on
    /// the processor's caches and for its own daemon's sleep.
    private static let warmCalls = 50

    init(subjects: [Subject], dataSet: DataSet) {
        self.subjects = subjects
        self.dataSet = dataSet
        clockCost = Self.measureClock()
    }

    func measure(_ operation: Operation, rounds: Int) throws -> [Row] {
        let block = Block(paths: operation.paths(in: dataSet))
        var tallies = subjects.map { Tally(subject: $0) }
        var lastNote = now()
        note("\(operation.rawValue): warm-up, then \(rounds) rounds")
        for round in 0...rounds {
            for index in order(round) {
                try measure(operation, block, isCounted: round > 0, &tallies[index])
            }
            if now() - lastNote > 5_000_000_000 {
                lastNote = now()
                note("\(operation.rawValue): round \(round) of \(rounds)")
            }
        }
        return tallies.map { $0.row(operation) }
    }

    /// Rotates by one each round, and runs backwards every other round.
    private func order(_ round: Int) -> [Int] {
        let rotated = subjects.indices.map { ($0 + round) % subjects.count }
        return round % 2 == 0 ? rotated : rotated.reversed()
    }

    private func measure(
        _ operation: Operation, _ block: Block, isCounted: Bool, _ tally: inout Tally
    ) throws {
        let subject = tally.subject
        do {
            try block.run(operation, under: subject.root, count: Self.warmCalls)
            let before = try subject.requestCount()
            try block.run(operation, under: subject.root)
            let after = try subject.requestCount()
            guard isCounted else { return }
            tally.add(block.samples, less: clockCost)
            tally.requests += after - before
        } catch let error as ProbeError {
            throw ProbeError("subject \(subject.name): \(error)")
        }
    }

    private static func measureClock() -> UInt64 {
        var samples: [UInt64] = []
        for _ in 0..<20_000 {
            let start = now()
            samples.append(now() &- start)
        }
        samples.sort()
        return samples[samples.count / 2]
    }
}

/// What is known of one subject so far.
private struct Tally {
    let subject: Subject
    private var latencies = Histogram<UInt64>(
        highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
    var requests: UInt64 = 0

    init(subject: Subject) {
        self.subject = subject
    }

    mutating func add(_ samples: UnsafeMutableBufferPointer<UInt64>, less clockCost: UInt64) {
        for sample in samples {
            // A call longer than the histogram's minute counts as a minute.
            let latency = min(sample - min(sample, clockCost), latencies.highestTrackableValue)
            latencies.record(latency)
        }
    }

    func row(_ operation: Operation) -> Row {
        Row(
            operation: operation.rawValue, subject: subject.name,
            p50: latencies.valueAtPercentile(50), p99: latencies.valueAtPercentile(99),
            operations: latencies.totalCount, daemonRequests: requests)
    }
}
