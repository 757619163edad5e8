/// One call as it was seen from outside: it took effect at some moment from `start` to `end`.
public struct Call<Operation> {
    /// Who made it; only for reports.
    public var worker: Int
    /// Nanoseconds of one monotonic clock. A call that ends when another starts overlaps it.
    public var start: UInt64
    public var end: UInt64
    /// What was asked, and the result.
    public var operation: Operation

    public init(worker: Int, start: UInt64, end: UInt64, operation: Operation) {
        self.worker = worker
        self.start = start
        self.end = end
        self.operation = operation
    }

    /// True if either could have taken effect before the other.
    public func overlaps<Other>(_ other: Call<Other>) -> Bool {
        start <= other.end && other.start <= end
    }
}

extension Call: Sendable where Operation: Sendable {}

/// How one kind of object behaves when calls come one after the other.
public protocol Specification: Sendable {
    associatedtype State: Hashable & Sendable
    associatedtype Operation: Sendable

    /// The state after `operation`, with the result that it carries; nil if it could not have that
    /// result in `state`.
    func next(_ state: State, _ operation: Operation) -> State?

    /// True if `operation` never changes the state.
    func isQuery(_ operation: Operation) -> Bool
}
