import Glibc

/// A fixed set of mutexes that stand for many more keys: two keys may share one.
///
/// Deadlock rule: whoever needs several takes them by `withLocks`, which sorts them.
final class StripeLocks: @unchecked Sendable {
    // Safe to share: the storage is fixed for life and only pthread functions touch it.
    private let mutexes: UnsafeMutableBufferPointer<pthread_mutex_t>
    private let shift: UInt64

    /// - Parameter bits: 2^bits mutexes. More: fewer false waits, 40 bytes each.
    init(bits: Int) {
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

    /// Fibonacci hashing: neighbouring keys land on different stripes.
    private func stripe(_ key: UInt64) -> Int {
        Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> shift)
    }

    func withLock<R: ~Copyable, E: Error>(
        _ key: UInt64, _ body: () throws(E) -> R
    ) throws(E) -> R {
        let index = stripe(key)
        #if FAULTS
            defer { Fault.unlocked() }
        #endif
        pthread_mutex_lock(&mutexes[index])
        defer { pthread_mutex_unlock(&mutexes[index]) }
        return try body()
    }

    func withLocks<R: ~Copyable, E: Error>(
        _ keys: [UInt64], _ body: () throws(E) -> R
    ) throws(E) -> R {
        let indices = Set(keys.map(stripe)).sorted()
        #if FAULTS
            defer { Fault.unlocked() }
        #endif
        for index in indices { pthread_mutex_lock(&mutexes[index]) }
        defer { for index in indices.reversed() { pthread_mutex_unlock(&mutexes[index]) } }
        return try body()
    }
}
