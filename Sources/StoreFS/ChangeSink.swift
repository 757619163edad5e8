import FuseSession
import Syscall

/// Where a store tells of changes that do not come by `Store.apply`: somebody else makes them, or they
/// happen by themselves.
///
/// None of its functions waits for the kernel or for anybody else, so a store may call them from
/// wherever it learns of a change. docs/coherence.md says why that is enough.
public struct ChangeSink<ID: Hashable & Sendable>: Sendable {
    let drop: @Sendable ([Concern<ID>]) -> Void
    let begin: @Sendable ([Concern<ID>]) -> Void
    let end: @Sendable ([Concern<ID>]) -> Void
    let dropAll: @Sendable () -> Void
    let extend: @Sendable (UInt64) -> Void

    /// Drops what is kept of `concerns`. No call that begins after this returns is answered from it.
    ///
    /// Call it *before* the change, once the store answers no more with the old state: what it answers
    /// from then on is the new state, or waits for it. A store that cannot wait uses `changing`.
    public func willChange(_ concerns: [Concern<ID>]) { drop(concerns) }

    /// Drops what is kept of `concerns`, and keeps nothing of them until `body`, which makes the
    /// change, has returned.
    public func changing<R>(_ concerns: [Concern<ID>], _ body: () throws -> R) rethrows -> R {
        begin(concerns)
        defer { end(concerns) }
        return try body()
    }

    /// Drops all that is kept: the lease or the connection is lost, and nobody knows what changed.
    public func loseEverything() { dropAll() }

    /// Nothing that is kept is used after `end`, even if this process is stopped by then, unless the
    /// lease is extended before. A store that never calls this has no lease; one that has a lease sets
    /// `StoreMountOptions.hasLease`, and calls this in `Store.begin` with an end of 1, so that nothing is
    /// kept before the first lease is granted.
    /// - Parameter end: CLOCK_MONOTONIC of this machine in nanoseconds. Count from when the extension
    ///   was *asked* for: that is before whoever granted it began to count.
    public func extendLease(until end: UInt64) { extend(end) }

    /// CLOCK_MONOTONIC in nanoseconds.
    public var now: UInt64 { Syscall.monotonicNanoseconds() }
}
