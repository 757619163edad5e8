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
public enum RegularRegister<Value: Hashable & Sendable> {
    public typealias Operation = Register<Value>.Operation
    public typealias Verdict = Checker<Register<Value>>.Verdict

    /// As `Checker.check`.
    public static func check(_ calls: [Call<Operation>], from states: Set<Value>) -> Verdict {
        var writes: [(start: UInt64, end: UInt64, value: Value)] = []
        for call in calls {
            if case .write(let value) = call.operation {
                writes.append((call.start, call.end, value))
            }
        }
        /// True if something written by `end` was overwritten before `moment`.
        func isOverwritten(_ end: UInt64?, before moment: UInt64) -> Bool {
            writes.contains { write in
                write.end < moment && end.map { $0 < write.start } ?? true
            }
        }
        for (index, call) in calls.enumerated() {
            guard case .read(let value) = call.operation else { continue }
            let isInitial = states.contains(value) && !isOverwritten(nil, before: call.start)
            let isExplained =
                isInitial
                || writes.contains { write in
                    write.value == value && write.start <= call.end
                        && !isOverwritten(write.end, before: call.start)
                }
            if !isExplained { return .violation(call: index) }
        }
        if writes.isEmpty { return .linearizable(ends: states) }
        let last = writes.filter { !isOverwritten($0.end, before: .max) }
        return .linearizable(ends: Set(last.map(\.value)))
    }
}
