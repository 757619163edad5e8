import Glibc
import Syscall

/// Work for several threads that makes more work; the newest is done first. It is done when nothing
/// is left and nobody is at work.
final class WorkQueue<Item: Sendable>: @unchecked Sendable {
    // Safe to share: the monitor guards all that changes.
    private let monitor = Monitor()
    private var items: [Item]
    private var busy = 0
    private var stopped = false

    init(_ items: [Item]) {
        self.items = items
    }

    /// Takes `item`, unless `limit` others wait already: then the caller is to do it.
    @discardableResult
    func push(_ item: Item, limit: Int = .max) -> Bool {
        monitor.withLock {
            if stopped { return true }
            guard items.count < limit else { return false }
            items.append(item)
            monitor.signal()
            return true
        }
    }

    /// Drops what waits and all that comes later.
    func stop() {
        monitor.withLock {
            stopped = true
            items.removeAll()
            monitor.broadcast()
        }
    }

    var isStopped: Bool { monitor.withLock { stopped } }

    /// One thread's share: returns when all is done.
    func work(_ body: (Item) -> Void) {
        monitor.withLock {
            while true {
                if let item = items.popLast() {
                    busy += 1
                    monitor.withoutLock { body(item) }
                    busy -= 1
                    if isDone { monitor.broadcast() }
                } else if isDone {
                    break
                } else {
                    monitor.wait()
                }
            }
        }
    }

    /// Waits until all is done, but no longer than so many milliseconds. True if it is done.
    func waitUntilDone(milliseconds: Int) -> Bool {
        monitor.withLock {
            monitor.wait(milliseconds: milliseconds) { isDone }
            return isDone
        }
    }

    private var isDone: Bool { items.isEmpty && busy == 0 }
}

/// Threads of the system, for work that blocks.
enum Threads {
    /// Runs `body` on so many threads at once and `meanwhile` on this one, and waits for all. Where
    /// there are fewer threads to be had, on fewer; at the least on this one.
    static func run(
        _ count: Int, _ body: @escaping @Sendable () -> Void, meanwhile: () -> Void
    ) {
        var threads: [pthread_t] = []
        for _ in 0..<count {
            var thread = pthread_t()
            let box = Unmanaged.passRetained(Body(body))
            guard pthread_create(&thread, nil, runBody, box.toOpaque()) == 0 else {
                box.release()
                break
            }
            threads.append(thread)
        }
        if threads.isEmpty { body() }
        meanwhile()
        for thread in threads { pthread_join(thread, nil) }
    }

    fileprivate final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

private func runBody(_ body: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let body { Unmanaged<Threads.Body>.fromOpaque(body).takeRetainedValue().run() }
    return nil
}
