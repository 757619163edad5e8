import Synchronization
import Syscall

/// Work that no request waits for but that may have to wait: done in order, on a thread that exists
/// only while there is work.
final class LateWork: Sendable {
    private struct Queue {
        var work: [@Sendable () -> Void] = []
        var isRunning = false
    }

    private let name: String
    private let queue = Mutex(Queue())

    init(_ name: String) { self.name = name }

    func add(_ work: @escaping @Sendable () -> Void) {
        let starts = queue.withLock { queue in
            queue.work.append(work)
            defer { queue.isRunning = true }
            return !queue.isRunning
        }
        guard starts else { return }
        do {
            try Worker(name) { [self] in run() }.detach()
        } catch {
            // The next addition tries again.
            queue.withLock { $0.isRunning = false }
        }
    }

    private func run() {
        while let all = next() {
            for work in all { work() }
        }
    }

    private func next() -> [@Sendable () -> Void]? {
        queue.withLock { queue in
            defer { queue.work = [] }
            queue.isRunning = !queue.work.isEmpty
            return queue.isRunning ? queue.work : nil
        }
    }
}
