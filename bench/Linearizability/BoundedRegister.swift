/// A value whose changes may show late, but each by a time that is known (bounded staleness). A read
/// returns what a write left that began before the read ended, unless a later write was to show before
/// the read began. That is Lamport's regular register, but for the bound.
///
/// Not linearizable, with ends put off to the bound: a cache that may be late by so much may show the
/// old value after the new one, to somebody who asks another way. And more than that: writes that end
/// one after the other stay in this order, although their bounds overlap.
public enum BoundedRegister {
    public enum Operation: Sendable {
        case read(UInt64)
        /// A read that tells only whether the value is another than 0.
        case readPresence(Bool)
        /// No read that starts later than `delay` after the write ended may return what was written
        /// before.
        case write(UInt64, delay: UInt64)
    }

    public enum Verdict {
        /// The writes whose value later reads may return: to go into the next history.
        case explained(remaining: [Call<Operation>])
        /// The first call, by its index, whose result nothing explains.
        case violation(call: Int)
    }

    /// - Parameter calls: in any order, with all writes that reads may return; the first value of all is
    ///   a write, too.
    public static func check(_ calls: [Call<Operation>]) -> Verdict {
        let writes = calls.compactMap(Write.init)
        for (index, call) in calls.enumerated() {
            if case .write = call.operation { continue }
            let isExplained = writes.contains { write in
                explains(write.value, call.operation) && write.call.start <= call.end
                    && !isOverwritten(write, before: call.start, by: writes)
            }
            if !isExplained { return .violation(call: index) }
        }
        // Whatever is called next starts later than this.
        let now = calls.map(\.end).max() ?? 0
        let remaining = writes.filter { !isOverwritten($0, before: now, by: writes) }
        return .explained(remaining: remaining.map(\.call))
    }

    private struct Write {
        let call: Call<Operation>
        let value: UInt64
        let shownBy: UInt64

        init?(_ call: Call<Operation>) {
            guard case .write(let value, let delay) = call.operation else { return nil }
            self.call = call
            self.value = value
            shownBy = call.end + delay
        }
    }

    private static func explains(_ value: UInt64, _ operation: Operation) -> Bool {
        switch operation {
        case .read(let read): read == value
        case .readPresence(let isPresent): isPresent == (value != 0)
        case .write: false
        }
    }

    private static func isOverwritten(
        _ write: Write, before moment: UInt64, by writes: [Write]
    ) -> Bool {
        writes.contains { write.call.end < $0.call.start && $0.shownBy < moment }
    }
}
