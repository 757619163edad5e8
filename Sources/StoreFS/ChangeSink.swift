import FuseSession
import Syscall

/// Where a store reports changes that do not come from `Store.apply`: made by others, or by the store
/// itself.
///
/// None of its functions waits for the kernel or for another request, so a store may call them wherever
/// it learns of a change. docs/coherence.md explains why that is enough.
public struct ChangeSink<ID: Hashable & Sendable>: Sendable {
    let drop: @Sendable ([Concern<ID>]) -> Void
    let begin: @Sendable ([Concern<ID>]) -> Void
    let end: @Sendable ([Concern<ID>]) -> Void
    let dropAll: @Sendable () -> Void
    let extend: @Sendable (UInt64) -> Void

    /// Drops what is kept of `concerns`. No call that begins after this returns is answered from it.
    ///
    /// Call it *before* the change, once the store no longer returns the old state: from then on it
    /// returns the new state, or waits for it. A store that cannot wait uses `changing`.
    public func willChange(_ concerns: [Concern<ID>]) { drop(concerns) }

    /// Drops what is kept of `concerns`, and keeps nothing of them until `body`, which makes the
    /// change, has returned.
    public func changing<R>(_ concerns: [Concern<ID>], _ body: () throws -> R) rethrows -> R {
        begin(concerns)
        defer { end(concerns) }
        return try body()
    }

    /// Drops everything: for when the lease or the connection is lost, and it is not known what changed.
    public func loseEverything() { dropAll() }

    /// Nothing that is kept is used after `end`, even if this process is stopped then, unless the
    /// lease is extended first. A store that never calls this has no lease. One that has a lease sets
    /// `StoreMountOptions.hasLease`, and calls this in `Store.begin` with an end of 1, so that nothing is
    /// kept before the first lease is granted.
    /// - Parameter end: CLOCK_MONOTONIC of this machine in nanoseconds. Count from the time of the
    ///   *request* for the extension, which is before the server begins to count.
    public func extendLease(until end: UInt64) { extend(end) }

    /// CLOCK_MONOTONIC in nanoseconds.
    public var now: UInt64 { Syscall.monotonicNanoseconds() }
}
