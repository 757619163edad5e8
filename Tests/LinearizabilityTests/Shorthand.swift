import Linearizability

extension Call {
    /// `operation` from `start` to `end`.
    init(_ start: UInt64, _ end: UInt64, _ operation: Operation) {
        self.init(worker: 0, start: start, end: end, operation: operation)
    }
}

extension Checker.Verdict {
    var ends: Set<S.State>? {
        if case .linearizable(let ends) = self { ends } else { nil }
    }
}

/// The definition, literally: tries every order. For histories of a few calls.
func endsByTryingAll<S: Specification>(
    _ specification: S, _ calls: [Call<S.Operation>], from states: Set<S.State>
) -> Set<S.State> {
    var ends = Set<S.State>()
    func explore(_ state: S.State, _ left: [Int]) {
        if left.isEmpty { ends.insert(state) }
        for index in left where !left.contains(where: { calls[$0].end < calls[index].start }) {
            if let next = specification.next(state, calls[index].operation) {
                explore(next, left.filter { $0 != index })
            }
        }
    }
    for state in states { explore(state, Array(calls.indices)) }
    return ends
}
