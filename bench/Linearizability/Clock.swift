/// A time stamp that only goes forward: ctime, or the mtime of what nobody sets back. Cheaper than a
/// linearizability check, and as strict: after a change has returned, or a stamp has been seen,
/// nothing older may be seen.
public enum Clock {
    public enum Operation: Sendable {
        case read(Int64)
        /// A change that began at this time or later, by the clock of the stamps.
        case change(notBefore: Int64)
    }

    public enum Verdict: Equatable, Sendable {
        /// What the next history may not fall below.
        case monotonic(floor: Int64)
        /// The first call, by its index, that read too old a stamp.
        case violation(call: Int)
    }

    public static func check(_ calls: [Call<Operation>], from floor: Int64) -> Verdict {
        let byEnd = calls.indices.sorted { calls[$0].end < calls[$1].end }
        let byStart = calls.indices.sorted { calls[$0].start < calls[$1].start }
        var floor = floor
        var ended = 0
        for index in byStart {
            let call = calls[index]
            while ended < byEnd.count, calls[byEnd[ended]].end < call.start {
                floor = max(floor, stamp(calls[byEnd[ended]]))
                ended += 1
            }
            if case .read(let stamp) = call.operation, stamp < floor {
                return .violation(call: index)
            }
        }
        return .monotonic(floor: calls.reduce(floor) { max($0, stamp($1)) })
    }

    private static func stamp(_ call: Call<Operation>) -> Int64 {
        switch call.operation {
        case .read(let stamp), .change(let stamp): stamp
        }
    }
}
