import Glibc

/// A mutex and a condition, which guard some state and signal its changes.
public final class Monitor: @unchecked Sendable {
    // Safe to share: fixed for life, and only pthread functions touch what they point to.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    public init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    public func withLock<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    /// Runs `body` without the lock. The caller holds the lock.
    public func withoutLock(_ body: () -> Void) {
        pthread_mutex_unlock(mutex)
        body()
        pthread_mutex_lock(mutex)
    }

    /// Releases the lock until something changes. The caller holds the lock, and must check whether
    /// the change is the one that it waits for.
    public func wait() {
        pthread_cond_wait(changed, mutex)
    }

    /// As `wait`, until `condition` is true, but at most this number of milliseconds.
    public func wait(milliseconds: Int, until condition: () -> Bool) {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        end.tv_nsec += milliseconds * 1_000_000
        end.tv_sec += end.tv_nsec / 1_000_000_000
        end.tv_nsec %= 1_000_000_000
        while !condition(), pthread_cond_timedwait(changed, mutex, &end) == 0 {}
    }

    /// Wakes one waiting thread.
    public func signal() { pthread_cond_signal(changed) }
    /// Wakes all waiting threads.
    public func broadcast() { pthread_cond_broadcast(changed) }
}
