import Glibc
import Synchronization

/// Where all workers meet. Spins at first: a worker that sleeps misses the start of the next round.
final class Barrier: Sendable {
    private let parties: Int
    private let waiting = Atomic(0)
    private let generation = Atomic(0)

    init(_ parties: Int) { self.parties = parties }

    func wait() {
        let current = generation.load(ordering: .acquiring)
        if waiting.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == parties {
            waiting.store(0, ordering: .relaxed)
            generation.store(current + 1, ordering: .releasing)
            return
        }
        var tries = 0
        while generation.load(ordering: .acquiring) == current {
            tries += 1
            // The processor may be what the others wait for.
            if tries < 100 { sched_yield() } else { usleep(20) }
        }
    }
}

/// Threads of their own: the workers block, and the threads of Swift's tasks are few.
enum Crew {
    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Runs `body` on a thread, which the caller joins.
    static func start(_ body: @escaping @Sendable () -> Void) -> pthread_t {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(Body(body)).toOpaque()
        let error = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, context)
        precondition(error == 0, "no thread")
        return thread
    }

    /// Runs `body` with each number below `count`, at once, and waits for all.
    static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let threads = (0..<count).map { number in start { body(number) } }
        for thread in threads { pthread_join(thread, nil) }
    }
}
