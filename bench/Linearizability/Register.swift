/// One value, written and read as a whole.
public struct Register<Value: Hashable & Sendable>: Specification {
    public enum Operation: Sendable {
        case read(Value)
        case write(Value)
    }

    public init() {}

    public func next(_ state: Value, _ operation: Operation) -> Value? {
        switch operation {
        case .read(let value): value == state ? state : nil
        case .write(let value): value
        }
    }

    public func isQuery(_ operation: Operation) -> Bool {
        if case .read = operation { true } else { false }
    }
}

/// The weaker promise where a cache above the file system takes part: a read returns the value of a
/// write that overlaps it, or one that was not yet overwritten when it started (Lamport's regular
/// register, for many writers). Two reads during one write may disagree about it.
///
/// With `dropsLate` reads drop what the cache has, and not at once: who comes meanwhile may find it. FUSE's
/// page cache is so (fuse_change_attributes in fs/fuse/inode.c: a reader that learns of a new mtime notes
/// it, and only then drops the pages, waiting for one that is just being read). A read C may find, while B
/// is dropping it, what A has brought: then what counts as the start of C is that of A, if A and B and B
/// and C overlap.
public enum RegularRegister<Value: Hashable & Sendable> {
    public typealias Operation = Register<Value>.Operation
    public typealias Verdict = Checker<Register<Value>>.Verdict

    /// As `Checker.check`.
    public static func check(
        _ calls: [Call<Operation>], from states: Set<Value>, dropsLate: Bool = false
    ) -> Verdict {
        var writes: [(start: UInt64, end: UInt64, value: Value)] = []
        var reads: [(start: UInt64, end: UInt64)] = []
        for call in calls {
            switch call.operation {
            case .write(let value): writes.append((call.start, call.end, value))
            case .read: reads.append((call.start, call.end))
            }
        }
        func overlapping(_ start: UInt64, _ end: UInt64) -> [(start: UInt64, end: UInt64)] {
            reads.filter { $0.start <= end && start <= $0.end }
        }
        func effectiveStart(_ call: Call<Operation>) -> UInt64 {
            guard dropsLate else { return call.start }
            return overlapping(call.start, call.end)
                .flatMap { overlapping($0.start, $0.end) }
                .map(\.start).min() ?? call.start
        }
        /// True if something written by `end` was overwritten before `moment`.
        func isOverwritten(_ end: UInt64?, before moment: UInt64) -> Bool {
            writes.contains { write in
                write.end < moment && end.map { $0 < write.start } ?? true
            }
        }
        for (index, call) in calls.enumerated() {
            guard case .read(let value) = call.operation else { continue }
            let start = effectiveStart(call)
            let isInitial = states.contains(value) && !isOverwritten(nil, before: start)
            let isExplained =
                isInitial
                || writes.contains { write in
                    write.value == value && write.start <= call.end
                        && !isOverwritten(write.end, before: start)
                }
            if !isExplained { return .violation(call: index) }
        }
        if writes.isEmpty { return .linearizable(ends: states) }
        let last = writes.filter { !isOverwritten($0.end, before: .max) }
        return .linearizable(ends: Set(last.map(\.value)))
    }
}
