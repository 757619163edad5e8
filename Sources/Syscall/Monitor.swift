import Glibc

/// A mutex and a condition: what guards some state, and tells that it has changed.
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

    /// Runs `body` without the lock. Only with the lock.
    public func withoutLock(_ body: () -> Void) {
        pthread_mutex_unlock(mutex)
        body()
        pthread_mutex_lock(mutex)
    }

    /// Lets the lock go until something changes. Only with the lock; whether it is what the caller
    /// waits for, it must look itself.
    public func wait() {
        pthread_cond_wait(changed, mutex)
    }

    /// As `wait`, until `condition` is true, but no longer than so many milliseconds.
    public func wait(milliseconds: Int, until condition: () -> Bool) {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        end.tv_nsec += milliseconds * 1_000_000
        end.tv_sec += end.tv_nsec / 1_000_000_000
        end.tv_nsec %= 1_000_000_000
        while !condition(), pthread_cond_timedwait(changed, mutex, &end) == 0 {}
    }

    /// Wakes one that waits.
    public func signal() { pthread_cond_signal(changed) }
    /// Wakes all that wait.
    public func broadcast() { pthread_cond_broadcast(changed) }
}
