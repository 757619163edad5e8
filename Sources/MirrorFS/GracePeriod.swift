import Glibc
import Synchronization

/// Waits until all requests that are in progress have ended.
///
/// Two counters: new requests use one, earlier ones may have used the other. As in the kernel's
/// SRCU, `wait` waits for both, one after the other: a request may have read which counter
/// is current, and increment it only after that has changed.
final class GracePeriod: Sendable {
    private let current = Atomic(0)
    private let even = Atomic(0)
    private let odd = Atomic(0)

    /// A request begins. Returns the argument of `leave`.
    @inline(__always)
    func enter() -> Int {
        let phase = current.load(ordering: .sequentiallyConsistent) & 1
        add(1, to: phase)
        return phase
    }

    @inline(__always)
    func leave(_ phase: Int) {
        add(-1, to: phase)
    }

    /// Waits until all requests in progress have ended. Do not call it from one.
    func wait() {
        for _ in 0..<2 {
            let old = current.load(ordering: .sequentiallyConsistent) & 1
            current.wrappingAdd(1, ordering: .sequentiallyConsistent)
            while count(old) > 0 { usleep(1_000) }
        }
    }

    private func add(_ number: Int, to phase: Int) {
        if phase == 0 {
            even.wrappingAdd(number, ordering: .sequentiallyConsistent)
        } else {
            odd.wrappingAdd(number, ordering: .sequentiallyConsistent)
        }
    }

    private func count(_ phase: Int) -> Int {
        phase == 0
            ? even.load(ordering: .sequentiallyConsistent)
            : odd.load(ordering: .sequentiallyConsistent)
    }
}
