import Syscall

/// Tasks that will reply to a request of the session, which must outlive them.
final class TaskCount: @unchecked Sendable {
    // Safe to share: guarded by `monitor`.
    private let monitor = Monitor()
    private var count = 0
    private var isClosed = false

    /// - Returns: false if the session ends: then no task may start.
    func enter() -> Bool {
        monitor.withLock {
            if !isClosed { count += 1 }
            return !isClosed
        }
    }

    func leave() {
        monitor.withLock {
            count -= 1
            if count == 0 { monitor.broadcast() }
        }
    }

    /// Waits until no task is left, and prevents new ones.
    /// - Returns: false if some are left after this time.
    func close(milliseconds: Int) -> Bool {
        monitor.withLock {
            isClosed = true
            monitor.wait(milliseconds: milliseconds) { count == 0 }
            return count == 0
        }
    }
}
