import Glibc
import SystemPackage

/// A fixed set of mutexes for many more keys: two keys may share one.
///
/// To avoid deadlock, take several with `withLocks`, which sorts them.
final class StripeLocks: @unchecked Sendable {
    // Safe to share: the storage is fixed for life and only pthread functions touch it.
    private let mutexes: UnsafeMutableBufferPointer<pthread_mutex_t>
    private let shift: UInt64
    private let isAbandoned: @Sendable () -> Bool

    /// - Parameters:
    ///   - bits: 2^bits mutexes. More: fewer false waits, 40 bytes each.
    ///   - isAbandoned: polled while waiting: true if the operation is no longer needed.
    init(bits: Int, isAbandoned: @escaping @Sendable () -> Bool) {
        self.isAbandoned = isAbandoned
        shift = UInt64(64 - bits)
        mutexes = .allocate(capacity: 1 << bits)
        for index in mutexes.indices {
            pthread_mutex_init(&mutexes[index], nil)
        }
    }

    deinit {
        for index in mutexes.indices {
            pthread_mutex_destroy(&mutexes[index])
        }
        mutexes.deallocate()
    }

    /// Fibonacci hashing: adjacent keys get different stripes.
    private func stripe(_ key: UInt64) -> Int {
        Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> shift)
    }

    /// Runs `body` with the lock of `key`.
    /// - Throws: `EINTR` if the wait was given up; then `body` has not run.
    func withLock<R: ~Copyable>(
        _ key: UInt64, _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        let index = stripe(key)
        #if FAULTS
            defer { Fault.unlocked() }
        #endif
        try lock(index)
        defer { pthread_mutex_unlock(&mutexes[index]) }
        return try body()
    }

    /// Runs `body` with all these locks, as `withLock`.
    func withLocks<R: ~Copyable>(
        _ keys: [UInt64], _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        let indices = Set(keys.map(stripe)).sorted()
        #if FAULTS
            defer { Fault.unlocked() }
        #endif
        for (taken, index) in indices.enumerated() {
            do throws(Errno) {
                try lock(index)
            } catch {
                for index in indices[..<taken].reversed() { pthread_mutex_unlock(&mutexes[index]) }
                throw error
            }
        }
        defer { for index in indices.reversed() { pthread_mutex_unlock(&mutexes[index]) } }
        return try body()
    }

    /// Runs `body` with the lock of `key`, or without it if it is held for long.
    /// - Parameter body: its argument says whether it has the lock.
    func withLockUnlessHeld<R: ~Copyable>(
        _ key: UInt64, _ body: (_ isLocked: Bool) throws(Errno) -> R
    ) throws(Errno) -> R {
        let index = stripe(key)
        #if FAULTS
            defer { Fault.unlocked() }
        #endif
        let isLocked = tryLock(index) || wait(index, milliseconds: Self.patience)
        defer { if isLocked { pthread_mutex_unlock(&mutexes[index]) } }
        return try body(isLocked)
    }

    /// Milliseconds for which a reader waits for a lock. Longer: under contention fewer answers
    /// that cannot be kept, but slower answers where a change is blocked.
    private static let patience = 10
    /// Milliseconds between two checks whether the wait is still needed. Shorter: more wake-ups.
    private static let interval = 100

    private func tryLock(_ index: Int) -> Bool { pthread_mutex_trylock(&mutexes[index]) == 0 }

    private func wait(_ index: Int, milliseconds: Int) -> Bool {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        end.tv_nsec += milliseconds * 1_000_000
        end.tv_sec += end.tv_nsec / 1_000_000_000
        end.tv_nsec %= 1_000_000_000
        return pthread_mutex_timedlock(&mutexes[index], &end) == 0
    }

    private func lock(_ index: Int) throws(Errno) {
        if tryLock(index) { return }
        while !wait(index, milliseconds: Self.interval) {
            if isAbandoned() { throw .interrupted }
        }
    }
}
