import Syscall
import SystemPackage

/// Calls a function at intervals, on a separate thread, which sleeps while there is nothing to do.
package final class Expiry: @unchecked Sendable {
    // Safe to share: guarded by `monitor`.
    private let monitor = Monitor()
    private var isStopped = false
    private var worker: Worker?

    package init() {}

    /// Call it once; has no effect after `stop`.
    /// - Parameters:
    ///   - isNeeded: false while there is nothing to do. When that changes, call `wake`.
    ///   - expire: called this number of milliseconds after it was needed, or after its last call.
    /// - Throws: `EAGAIN` if no more threads can be created.
    package func start(
        _ name: String, milliseconds: Int,
        while isNeeded: @escaping @Sendable () -> Bool = { true },
        _ expire: @escaping @Sendable () -> Void
    ) throws(Errno) {
        let start = monitor.withLock { () -> Result<Void, Errno> in
            if isStopped { return .success(()) }
            return Result { () throws(Errno) in
                worker = try Worker(name) { [self] in
                    while waits(milliseconds, while: isNeeded) { expire() }
                }
            }
        }
        try start.get()
    }

    /// There is something to do again.
    package func wake() { monitor.withLock { monitor.signal() } }

    /// Ends the thread and waits for it, unless that is the caller.
    package func stop() {
        let running = monitor.withLock {
            isStopped = true
            monitor.broadcast()
            defer { worker = nil }
            return worker
        }
        running?.join()
    }

    /// False: the end.
    private func waits(_ milliseconds: Int, while isNeeded: () -> Bool) -> Bool {
        monitor.withLock {
            while !isNeeded(), !isStopped { monitor.wait() }
            monitor.wait(milliseconds: milliseconds) { isStopped }
            return !isStopped
        }
    }
}
