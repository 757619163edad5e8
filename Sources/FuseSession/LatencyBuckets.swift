import Synchronization
import Syscall

/// Counts requests by duration, in log-linear buckets. The memory is the caller's, so that another
/// process can read them in a shared file.
///
/// 16 buckets for each power of two, those of an HdrHistogram with one significant digit: a
/// duration is exact to 1/16. Times what `serve` serves, which does not include INIT, DESTROY and
/// requests without a reply (FORGET).
public struct LatencyBuckets: @unchecked Sendable {
    // Safe to share: only atomic operations touch the memory.
    private let buckets: UnsafeMutablePointer<Atomic<UInt64>>

    /// Below 2^36 ns, or 68.7 s; what takes longer is in the last bucket.
    public static let count = 33 * 16
    public static let byteCount = count * 8
    private static let longest: UInt64 = 1 << 36 - 1

    /// - Parameter memory: `byteCount` bytes, 8-byte aligned, that outlive this value and its
    ///   copies. Counting continues from the existing values.
    public init(memory: UnsafeMutableRawPointer) {
        buckets = memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// How many durations were recorded in bucket `index`, below `count`.
    public subscript(index: Int) -> UInt64 {
        buckets[index].load(ordering: .relaxed)
    }

    /// The durations that bucket `index` counts, in nanoseconds.
    public static func durations(in index: Int) -> ClosedRange<UInt64> {
        let shift = max(index / 16 - 1, 0)
        let low = UInt64(index - shift * 16) << UInt64(shift)
        return low...(low + (1 << UInt64(shift)) - 1)
    }

    @inline(__always)
    static func index(_ nanoseconds: UInt64) -> Int {
        let value = min(nanoseconds, longest)
        let shift = max(59 - value.leadingZeroBitCount, 0)
        return shift &* 16 &+ Int(truncatingIfNeeded: value &>> UInt64(truncatingIfNeeded: shift))
    }

    /// Records the time since `start`, an earlier `Syscall.monotonicNanoseconds`.
    @inline(__always)
    func record(since start: UInt64) {
        buckets[Self.index(Syscall.monotonicNanoseconds() &- start)].wrappingAdd(
            1, ordering: .relaxed)
    }
}
