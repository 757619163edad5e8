import Glibc
import Synchronization

/// Tells when all requests that were under way at some moment have ended.
///
/// Two counters, of which new requests take one and those before may have the other. As in the
/// kernel's SRCU both are waited for, one after the other: a request may have looked which counter
/// is the current one, and count itself only after that changed.
final class GracePeriod: Sendable {
    private let current = Atomic(0)
    private let even = Atomic(0)
    private let odd = Atomic(0)

    /// A request begins. Returns what `leave` wants.
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

    /// Waits until all requests under way have ended. Not to be called from one.
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
