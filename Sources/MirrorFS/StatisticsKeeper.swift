import FuseSession
import StoreFS
import Synchronization
import Syscall
import SystemPackage

/// Publishes the statistics of a file system (STATFS) again before they expire, as long as programs
/// request them: then continuous requests never wake a thread of the session.
///
/// One thread, which sleeps while there is nothing to keep.
final class StatisticsKeeper: Sendable {
    /// Publishes, and returns whether the previous statistics were used; nil: the node does not
    /// exist.
    typealias Refresh = @Sendable () -> Bool?

    private struct Kept {
        let refresh: Refresh
        /// Rounds since the last request.
        var idle = 0
    }

    /// Milliseconds. Half the lifetime of statistics, so that a delayed thread is still in time.
    /// Longer: cheaper, but more often too late.
    private static let interval = 500
    /// Rounds without a request after which a node is dropped: a minute.
    private static let idleRounds = 120
    /// Not useful for a tree of thousands of directories with one request each.
    private static let limit = 16

    private struct State {
        var kept: [NodeID: Kept] = [:]
        var isKeeping = false
    }

    private let state = Mutex(State())
    private let expiry = Expiry()

    /// Calls `refresh` every half second from now on.
    func keep(_ node: NodeID, _ refresh: @escaping Refresh) {
        let starts = state.withLock { state in
            guard state.kept[node] != nil || state.kept.count < Self.limit else { return false }
            state.kept[node] = Kept(refresh: refresh)
            defer { state.isKeeping = true }
            return !state.isKeeping
        }
        guard starts else { return expiry.wake() }
        do throws(Errno) {
            try expiry.start(
                "statistics", milliseconds: Self.interval,
                while: { [self] in state.withLock { !$0.kept.isEmpty } },
                { [self] in refreshAll() })
        } catch {
            // Without the thread statistics expire: slower, not wrong.
            state.withLock { $0.isKeeping = false }
        }
    }

    /// Ends the thread and waits for it, unless that is the caller.
    func stop() {
        expiry.stop()
        state.withLock { $0.kept = [:] }
    }

    private func refreshAll() {
        for (node, entry) in state.withLock({ $0.kept }) {
            let used = entry.refresh()
            state.withLock { state in
                guard var entry = state.kept[node] else { return }
                entry.idle = used == true ? 0 : entry.idle + 1
                state.kept[node] = used == nil || entry.idle > Self.idleRounds ? nil : entry
            }
        }
    }
}
