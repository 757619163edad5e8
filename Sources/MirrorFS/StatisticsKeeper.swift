import FuseSession
import Glibc
import Synchronization

/// Publishes the statistics of a file system (STATFS) again before they expire, for as long as
/// somebody asks for them: a program that does so all the time never wakes a thread of the session.
///
/// One thread, which sleeps without a limit while there is nothing to keep.
final class StatisticsKeeper: @unchecked Sendable {
    // Safe to share: all state is guarded by `mutex`.

    /// Publishes, and tells whether the statistics before were used; nil: there is no such node.
    typealias Refresh = @Sendable () -> Bool?

    private struct Kept {
        let refresh: Refresh
        /// Rounds since somebody asked.
        var idle = 0
    }

    /// Half of what statistics live, so that a late thread is still in time. Longer: cheaper, and
    /// more often too late.
    private static let interval: Int = 500_000_000
    /// Nobody asked for so many rounds: a minute.
    private static let idleRounds = 120
    /// A tree of thousands of directories, each asked once, is not worth it.
    private static let limit = 16

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var kept: [NodeID: Kept] = [:]
    private var thread: pthread_t?
    private var stopped = false

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    deinit {
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
    }

    /// Calls `refresh` every half second from now on.
    func keep(_ node: NodeID, _ refresh: @escaping Refresh) {
        locked {
            guard !stopped, kept[node] != nil || kept.count < Self.limit else { return }
            kept[node] = Kept(refresh: refresh)
            if thread == nil { start() }
            pthread_cond_signal(changed)
        }
    }

    /// Ends the thread and waits for it, unless that is the caller.
    func stop() {
        let running = locked {
            stopped = true
            kept = [:]
            pthread_cond_signal(changed)
            defer { thread = nil }
            return thread
        }
        guard let running else { return }
        if pthread_equal(running, pthread_self()) != 0 {
            pthread_detach(running)
        } else {
            pthread_join(running, nil)
        }
    }

    private func locked<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    private func start() {
        var thread = pthread_t()
        // The thread keeps what it works on until it ends.
        let context = Unmanaged.passRetained(self)
        if pthread_create(&thread, nil, runStatisticsKeeper, context.toOpaque()) == 0 {
            self.thread = thread
        } else {
            // Without the thread statistics expire: slower, not wrong.
            context.release()
        }
    }

    fileprivate func run() {
        while let round = nextRound() {
            for (node, refresh) in round {
                let used = refresh()
                locked {
                    guard var entry = kept[node] else { return }
                    entry.idle = used == true ? 0 : entry.idle + 1
                    kept[node] = used == nil || entry.idle > Self.idleRounds ? nil : entry
                }
            }
        }
    }

    /// Sleeps until the next round; nil: the end.
    private func nextRound() -> [(NodeID, Refresh)]? {
        locked {
            while kept.isEmpty, !stopped { pthread_cond_wait(changed, mutex) }
            var until = timespec()
            clock_gettime(CLOCK_REALTIME, &until)
            until.tv_nsec += Self.interval
            if until.tv_nsec >= 1_000_000_000 {
                until.tv_nsec -= 1_000_000_000
                until.tv_sec += 1
            }
            while !stopped, pthread_cond_timedwait(changed, mutex, &until) == 0 {}
            return stopped ? nil : kept.map { ($0.key, $0.value.refresh) }
        }
    }
}

private func runStatisticsKeeper(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context {
        Unmanaged<StatisticsKeeper>.fromOpaque(context).takeRetainedValue().run()
    }
    return nil
}
