/// Decides whether a history of calls on one object is linearizable (Herlihy & Wing, 1990): whether
/// there is an order of the calls, which keeps the order of those that do not overlap, and which the
/// specification allows.
///
/// Just-in-time linearization (Lowe, "Testing for linearizability", 2017): the history is read
/// once, from its start; kept are all configurations in which the object can be, each a state and
/// the calls that have taken effect but not returned. A call takes effect as late as its return
/// demands. The number of configurations depends on how many calls overlap, not on the length, and
/// what is left at the end are all states in which the object can be, which is where the next
/// history of the same object begins: so a long history may be cut wherever no call is under way.
///
/// Objects are checked one by one, which is enough (Herlihy & Wing: linearizability is local).
public struct Checker<S: Specification>: Sendable {
    public enum Verdict: Equatable, Sendable {
        /// The states in which the object can be now: never empty.
        case linearizable(ends: Set<S.State>)
        /// The first call, by its index, whose result nothing explains.
        case violation(call: Int)
    }

    /// Calls that overlap at one moment.
    public static var limit: Int { UInt64.bitWidth }

    private struct Configuration: Hashable {
        var state: S.State
        /// Of the calls under way, those that have taken effect: a bit each.
        var done: UInt64
    }

    private struct Pending {
        var operation: S.Operation
        var slot: Int
        var isQuery: Bool
        var bit: UInt64 { 1 << UInt64(slot) }
    }

    public let specification: S

    public init(_ specification: S) {
        self.specification = specification
    }

    /// - Parameters:
    ///   - calls: all of one object, in any order.
    ///   - states: those in which it could be before.
    public func check(_ calls: [Call<S.Operation>], from states: Set<S.State>) -> Verdict {
        var configurations = Set(states.map { Configuration(state: $0, done: 0) })
        var pending: [Pending] = []
        var slots = [Int](repeating: 0, count: calls.count)
        var free = UInt64.max

        for event in Self.events(calls) {
            if event.isStart {
                precondition(free != 0, "more than \(Self.limit) calls overlap")
                let slot = free.trailingZeroBitCount
                free &= free &- 1
                slots[event.call] = slot
                let operation = calls[event.call].operation
                let call = Pending(
                    operation: operation, slot: slot, isQuery: specification.isQuery(operation))
                pending.append(call)
                if call.isQuery {
                    configurations = Set(configurations.map { settle($0, [call]) })
                }
            } else {
                let bit = UInt64(1) << UInt64(slots[event.call])
                configurations = returning(bit, configurations, pending)
                if configurations.isEmpty { return .violation(call: event.call) }
                pending.removeAll { $0.bit == bit }
                free |= bit
            }
        }
        return .linearizable(ends: Set(configurations.map(\.state)))
    }

    /// The configurations in which the call of `bit` has taken effect, with that bit cleared.
    private func returning(
        _ bit: UInt64, _ configurations: Set<Configuration>, _ pending: [Pending]
    ) -> Set<Configuration> {
        var result = Set<Configuration>()
        var seen = Set<Configuration>()
        var open: [Configuration] = []
        func take(_ configuration: Configuration) {
            if configuration.done & bit != 0 {
                var returned = configuration
                returned.done &= ~bit
                result.insert(returned)
            } else if seen.insert(configuration).inserted {
                open.append(configuration)
            }
        }
        for configuration in configurations { take(configuration) }
        while let configuration = open.popLast() {
            for call in pending where !call.isQuery && configuration.done & call.bit == 0 {
                guard let state = specification.next(configuration.state, call.operation) else {
                    continue
                }
                let moved = Configuration(state: state, done: configuration.done | call.bit)
                take(settle(moved, pending))
            }
        }
        return result
    }

    /// Lets all queries take effect that can: they change nothing, so waiting would win nothing.
    private func settle(_ configuration: Configuration, _ calls: [Pending]) -> Configuration {
        var result = configuration
        for call in calls where call.isQuery && result.done & call.bit == 0 {
            if specification.next(result.state, call.operation) != nil { result.done |= call.bit }
        }
        return result
    }

    private struct Event {
        var time: UInt64
        var isStart: Bool
        var call: Int
    }

    /// Starts and ends by time; of those at the same time starts come first, so that they overlap.
    private static func events(_ calls: [Call<S.Operation>]) -> [Event] {
        var events: [Event] = []
        events.reserveCapacity(calls.count * 2)
        for (index, call) in calls.enumerated() {
            precondition(call.start <= call.end, "a call ended before it started")
            events.append(Event(time: call.start, isStart: true, call: index))
            events.append(Event(time: call.end, isStart: false, call: index))
        }
        events.sort { $0.time != $1.time ? $0.time < $1.time : $0.isStart && !$1.isStart }
        return events
    }
}
