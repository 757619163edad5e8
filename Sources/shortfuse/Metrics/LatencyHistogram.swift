import FuseSession

/// The times of `LatencyBuckets` as a histogram of Prometheus: how many took at most so long.
struct LatencyHistogram: Equatable {
    /// Upper bounds, each twice the one before: 1 µs to 34 s. Bounds of `LatencyBuckets`, so that
    /// no count is a guess.
    private static let powers = 10...35

    struct Bucket: Equatable {
        /// Seconds.
        let atMost: Double
        /// Also of all buckets before this one.
        let count: UInt64
    }

    let buckets: [Bucket]
    let count: UInt64
    /// Seconds. Each duration is taken for the middle of its bucket: right to 1/32.
    let sum: Double

    /// - Parameter counts: those of `LatencyBuckets`.
    init(_ counts: [UInt64]) {
        var buckets: [Bucket] = []
        var total: UInt64 = 0
        var sum = 0.0
        var powers = Self.powers[...]
        for (index, count) in counts.enumerated() {
            let durations = LatencyBuckets.durations(in: index)
            while let power = powers.first, durations.lowerBound >= 1 << UInt64(power) {
                buckets.append(Bucket(atMost: Self.seconds(1 << UInt64(power)), count: total))
                powers.removeFirst()
            }
            total &+= count
            let middle = Self.seconds(durations.lowerBound) + Self.seconds(durations.upperBound)
            sum += Double(count) * middle / 2
        }
        buckets += powers.map { Bucket(atMost: Self.seconds(1 << UInt64($0)), count: total) }
        self.buckets = buckets
        count = total
        self.sum = sum
    }

    private static func seconds(_ nanoseconds: UInt64) -> Double {
        Double(nanoseconds) / 1e9
    }
}
