import Linearizability
import Synchronization

/// What one worker saw of one object in this round. Only its worker touches it until the round ends.
final class Journal<Operation>: @unchecked Sendable {
    // Safe to share: the barrier between the halves of a round says whose turn it is.
    private(set) var calls: [Call<Operation>] = []
    private let worker: Int

    init(worker: Int) { self.worker = worker }

    func log(_ span: Span, _ operation: Operation) {
        calls.append(
            Call(worker: worker, start: span.start, end: span.end, operation: operation))
    }

    func clear() { calls.removeAll(keepingCapacity: true) }
}

/// When a call was under way.
struct Span {
    var start: UInt64
    var end: UInt64
}

/// An object under test, and what is known of its state. Its history is checked after each round
/// and forgotten; the states in which it can be go on to the next.
protocol Subject: AnyObject, Sendable {
    /// Checks the round. Returns a description of what is wrong, if anything.
    func conclude() -> String?
}

final class Tested<Operation: Sendable, Knowledge: Sendable>: Subject, @unchecked Sendable {
    // Safe to share: as Journal.
    enum Verdict {
        case fine(Knowledge)
        case violation(call: Int)
    }

    let name: String
    let journals: [Journal<Operation>]
    private var knowledge: Knowledge
    private let prepare: @Sendable ([Call<Operation>]) -> [Call<Operation>]
    private let check: @Sendable ([Call<Operation>], Knowledge) -> Verdict

    init(
        _ name: String, workers: Int, knowing knowledge: Knowledge,
        prepare: @escaping @Sendable ([Call<Operation>]) -> [Call<Operation>] = { $0 },
        check: @escaping @Sendable ([Call<Operation>], Knowledge) -> Verdict
    ) {
        self.name = name
        self.knowledge = knowledge
        self.prepare = prepare
        self.check = check
        journals = (0..<workers).map { Journal(worker: $0) }
    }

    func conclude() -> String? {
        let calls = prepare(journals.flatMap(\.calls))
        defer { for journal in journals { journal.clear() } }
        switch check(calls, knowledge) {
        case .fine(let known):
            knowledge = known
            return nil
        case .violation(let call):
            return describe(
                calls, call,
                as: """
                    \(name): no order of these calls explains the one marked >
                      before them: \(knowledge)
                    """)
        }
    }
}

/// The history up to the call that nothing explains, below `title`.
func describe<Operation>(
    _ calls: [Call<Operation>], _ culprit: Int, as title: String
) -> String {
    let end = calls[culprit].end
    // What was there before all calls began at 0.
    let origin = calls.map(\.start).filter { $0 > 0 }.min() ?? 0
    let shown = calls.indices.filter { calls[$0].start <= end }
        .sorted { calls[$0].start < calls[$1].start }
    let lines = shown.map { index in
        let call = calls[index]
        return "  \(index == culprit ? ">" : " ") worker \(call.worker)"
            + "  \(max(call.start, origin) - origin)…\(max(call.end, origin) - origin) ns"
            + "  \(call.operation)"
    }
    return ([title] + lines).joined(separator: "\n")
}

extension Tested {
    /// An object that must be linearizable.
    static func linearizable<S: Specification>(
        _ name: String, _ specification: S, workers: Int, from state: S.State,
        prepare: @escaping @Sendable ([Call<S.Operation>]) -> [Call<S.Operation>] = { $0 }
    ) -> Tested<S.Operation, Set<S.State>> where Operation == S.Operation {
        let checker = Checker(specification)
        return Tested<S.Operation, Set<S.State>>(
            name, workers: workers, knowing: [state], prepare: prepare
        ) { calls, states in
            switch checker.check(calls, from: states) {
            case .linearizable(let ends): .fine(ends)
            case .violation(let call): .violation(call: call)
            }
        }
    }
}

typealias NamesSubject = Tested<Names.Operation, Set<Names.State>>
typealias AttributesSubject = Tested<FileAttributes.Operation, Set<FileAttributes.State>>
typealias ValueSubject = Tested<Register<UInt8>.Operation, Set<UInt8>>
typealias ClockSubject = Tested<Clock.Operation, Int64>

extension Tested where Operation == Register<UInt8>.Operation, Knowledge == Set<UInt8> {
    /// A value of which two reads during one write may disagree.
    static func regular(_ name: String, workers: Int) -> ValueSubject {
        ValueSubject(name, workers: workers, knowing: [0]) { calls, states in
            switch RegularRegister.check(calls, from: states) {
            case .linearizable(let ends): .fine(ends)
            case .violation(let call): .violation(call: call)
            }
        }
    }
}

extension Tested where Operation == Clock.Operation, Knowledge == Int64 {
    /// A time stamp that only goes forward.
    static func clock(_ name: String, workers: Int) -> ClockSubject {
        ClockSubject(name, workers: workers, knowing: 0) { calls, floor in
            switch Clock.check(calls, from: floor) {
            case .monotonic(let floor): .fine(floor)
            case .violation(let call): .violation(call: call)
            }
        }
    }
}
