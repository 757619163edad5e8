import FuseSession
import Histogram

/// How long the daemon took for its requests, in nanoseconds; all 0 if there were none. A duration
/// is known to 1/16 of itself, and told as the longest that it can have been.
struct LatencySummary: Encodable, Equatable {
    let count: UInt64
    let mean: UInt64
    let p50: UInt64
    let p90: UInt64
    let p99: UInt64
    let p999: UInt64
    let max: UInt64

    enum CodingKeys: String, CodingKey {
        case count
        case mean = "mean_ns"
        case p50 = "p50_ns"
        case p90 = "p90_ns"
        case p99 = "p99_ns"
        case p999 = "p999_ns"
        case max = "max_ns"
    }

    /// - Parameter buckets: those of `LatencyBuckets`.
    init(buckets: [UInt64]) {
        // Its buckets are the same ones, so nothing is lost.
        let longest = LatencyBuckets.durations(in: LatencyBuckets.count - 1).upperBound
        var histogram = Histogram<UInt64>(
            highestTrackableValue: longest, numberOfSignificantValueDigits: .one)
        for (index, count) in buckets.enumerated() where count > 0 {
            histogram.record(LatencyBuckets.durations(in: index).upperBound, count: count)
        }
        count = histogram.totalCount
        mean = UInt64(histogram.mean)
        p50 = histogram.valueAtPercentile(50)
        p90 = histogram.valueAtPercentile(90)
        p99 = histogram.valueAtPercentile(99)
        p999 = histogram.valueAtPercentile(99.9)
        max = histogram.maxRecorded
    }
}
