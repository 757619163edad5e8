import Linearizability

/// A value that changes behind the mount, and shows by a known time. Its writes outlive the round.
final class BoundedSubject: Subject, @unchecked Sendable {
    // Safe to share: as Journal.
    let name: String
    let journals: [Journal<BoundedRegister.Operation>]
    private var writes: [Call<BoundedRegister.Operation>]

    /// - Parameter value: what it has before anybody writes; nil if the first write comes before all reads.
    init(_ name: String, workers: Int, from value: UInt64? = nil) {
        self.name = name
        journals = (0..<workers).map { Journal(worker: $0) }
        writes =
            value.map {
                [Call(worker: 0, start: 0, end: 0, operation: .write($0, delay: 0))]
            } ?? []
    }

    func conclude() -> String? {
        let calls = writes + journals.flatMap(\.calls)
        defer { for journal in journals { journal.clear() } }
        switch BoundedRegister.check(calls) {
        case .explained(let remaining):
            writes = remaining
            return nil
        case .violation(let call):
            return describe(
                calls, call, as: "\(name): no write explains the read marked >")
        }
    }
}
