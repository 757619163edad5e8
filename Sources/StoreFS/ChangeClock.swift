import Synchronization

/// Detects changes during a read: a store may take long, so no lock is held meanwhile.
///
/// A reader notes `now`, reads, and may keep the result only if `permits` returns true under the lock
/// of what it read. A change calls `begin` under that lock, and `end` when it is done. So what was read
/// before a change is not kept after the change began.
final class ChangeClock: Sendable {
    private final class Stripe: Sendable {
        let pending = Atomic(0)
        let last = Atomic<UInt64>(0)
    }

    /// 32 bytes per stripe. More stripes: fewer collisions, which only cost a request.
    private static let bits = 12
    private let stripes = (0..<1 << bits).map { _ in Stripe() }
    private let ticks = Atomic<UInt64>(1)
    private let floor = Atomic<UInt64>(0)

    var now: UInt64 { ticks.load(ordering: .sequentiallyConsistent) }

    private func stripe(_ key: UInt64) -> Stripe {
        stripes[
            Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - Self.bits))]
    }

    private func tick() -> UInt64 {
        ticks.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
    }

    func begin(_ key: UInt64) {
        let stripe = stripe(key)
        stripe.pending.wrappingAdd(1, ordering: .sequentiallyConsistent)
        stripe.last.max(tick(), ordering: .sequentiallyConsistent)
    }

    func end(_ key: UInt64) {
        let stripe = stripe(key)
        stripe.last.max(tick(), ordering: .sequentiallyConsistent)
        stripe.pending.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }

    /// Everything may have changed.
    func changeAll() { floor.max(tick(), ordering: .sequentiallyConsistent) }

    /// - Parameter since: `now` before the read.
    func permits(_ key: UInt64, since: UInt64) -> Bool {
        let stripe = stripe(key)
        return stripe.pending.load(ordering: .sequentiallyConsistent) == 0
            && stripe.last.load(ordering: .sequentiallyConsistent) <= since
            && floor.load(ordering: .sequentiallyConsistent) <= since
    }
}
