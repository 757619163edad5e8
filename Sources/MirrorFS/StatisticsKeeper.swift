import FuseSession
import Glibc
import Syscall

/// Publishes the statistics of a file system (STATFS) again before they expire, for as long as
/// somebody asks for them: a program that does so all the time never wakes a thread of the session.
///
/// One thread, which sleeps without a limit while there is nothing to keep.
final class StatisticsKeeper: @unchecked Sendable {
    // Safe to share: all state is guarded by `monitor`.

    /// Publishes, and tells whether the statistics before were used; nil: there is no such node.
    typealias Refresh = @Sendable () -> Bool?

    private struct Kept {
        let refresh: Refresh
        /// Rounds since somebody asked.
        var idle = 0
    }

    /// Milliseconds. Half of what statistics live, so that a late thread is still in time. Longer:
    /// cheaper, and more often too late.
    private static let interval = 500
    /// Nobody asked for so many rounds: a minute.
    private static let idleRounds = 120
    /// A tree of thousands of directories, each asked once, is not worth it.
    private static let limit = 16

    private let monitor = Monitor()
    private var kept: [NodeID: Kept] = [:]
    private var worker: Worker?
    private var stopped = false

    /// Calls `refresh` every half second from now on.
    func keep(_ node: NodeID, _ refresh: @escaping Refresh) {
        monitor.withLock {
            guard !stopped, kept[node] != nil || kept.count < Self.limit else { return }
            kept[node] = Kept(refresh: refresh)
            // Without the thread statistics expire: slower, not wrong.
            if worker == nil { worker = try? Worker("statistics") { [self] in run() } }
            monitor.signal()
        }
    }

    /// Ends the thread and waits for it, unless that is the caller.
    func stop() {
        let running = monitor.withLock {
            stopped = true
            kept = [:]
            monitor.signal()
            defer { worker = nil }
            return worker
        }
        running?.join()
    }

    private func run() {
        while let round = nextRound() {
            for (node, refresh) in round {
                let used = refresh()
                monitor.withLock {
                    guard var entry = kept[node] else { return }
                    entry.idle = used == true ? 0 : entry.idle + 1
                    kept[node] = used == nil || entry.idle > Self.idleRounds ? nil : entry
                }
            }
        }
    }

    /// Sleeps until the next round; nil: the end.
    private func nextRound() -> [(NodeID, Refresh)]? {
        monitor.withLock {
            while kept.isEmpty, !stopped { monitor.wait() }
            monitor.wait(milliseconds: Self.interval) { stopped }
            return stopped ? nil : kept.map { ($0.key, $0.value.refresh) }
        }
    }
}
