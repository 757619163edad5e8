import Glibc

/// Work for several threads that makes more work; the newest is done first. It is done when nothing
/// is left and nobody is at work.
final class WorkQueue<Item: Sendable>: @unchecked Sendable {
    // Safe to share: the mutex guards all that changes.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var items: [Item]
    private var busy = 0
    private var stopped = false

    init(_ items: [Item]) {
        self.items = items
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    /// Takes `item`, unless `limit` others wait already: then the caller is to do it.
    @discardableResult
    func push(_ item: Item, limit: Int = .max) -> Bool {
        locked {
            if stopped { return true }
            guard items.count < limit else { return false }
            items.append(item)
            pthread_cond_signal(changed)
            return true
        }
    }

    /// Drops what waits and all that comes later.
    func stop() {
        locked {
            stopped = true
            items.removeAll()
            pthread_cond_broadcast(changed)
        }
    }

    var isStopped: Bool { locked { stopped } }

    /// One thread's share: returns when all is done.
    func work(_ body: (Item) -> Void) {
        pthread_mutex_lock(mutex)
        while true {
            if let item = items.popLast() {
                busy += 1
                pthread_mutex_unlock(mutex)
                body(item)
                pthread_mutex_lock(mutex)
                busy -= 1
                if isDone { pthread_cond_broadcast(changed) }
            } else if isDone {
                break
            } else {
                pthread_cond_wait(changed, mutex)
            }
        }
        pthread_mutex_unlock(mutex)
    }

    /// Waits until all is done, but no longer than so many milliseconds. True if it is done.
    func waitUntilDone(milliseconds: Int) -> Bool {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        end.tv_nsec += milliseconds * 1_000_000
        end.tv_sec += end.tv_nsec / 1_000_000_000
        end.tv_nsec %= 1_000_000_000
        return locked {
            while !isDone, pthread_cond_timedwait(changed, mutex, &end) == 0 {}
            return isDone
        }
    }

    private var isDone: Bool { items.isEmpty && busy == 0 }

    private func locked<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }
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
