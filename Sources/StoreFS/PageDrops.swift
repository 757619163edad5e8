import FuseSession
import Synchronization

/// Whether the kernel may still have old pages of a node, or an old listing.
///
/// They are dropped by a thread that may have to wait for a READ, so a change does not wait for
/// that. Instead no attributes are returned until it is done: if the kernel has no valid ones, it
/// requests them before it uses a page (FUSE_AUTO_INVAL_DATA).
final class PageDrops: Sendable {
    private struct State {
        var wanted: UInt64 = 0
        var done: UInt64 = 0
        var isQueued = false
        var isOver = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    /// True from `want` until the kernel has dropped them.
    var isPending: Bool { state.withLock { $0.wanted != $0.done && !$0.isOver } }

    /// Marks what the kernel has as old.
    func want(_ node: NodeID, _ dropper: CacheDropper) {
        let queues = state.withLock { state in
            state.wanted += 1
            defer { state.isQueued = true }
            return !state.isQueued
        }
        if queues { queue(node, dropper) }
    }

    private func queue(_ node: NodeID, _ dropper: CacheDropper) {
        let wanted = state.withLock { $0.wanted }
        // Not queued after drops that wait for the directory: its holder may wait for this one.
        dropper.drop(.pages(node), in: node | 1 << 63) { [self] in
            let (again, waiters) = state.withLock { state in
                state.done = wanted
                state.isQueued = state.wanted != wanted
                defer { if !state.isQueued { state.waiters = [] } }
                return (state.isQueued, state.isQueued ? [] : state.waiters)
            }
            if again { return queue(node, dropper) }
            for waiter in waiters { waiter.resume() }
        }
    }

    /// Returns when the kernel has no old pages.
    func wait() async {
        guard isPending else { return }
        await withCheckedContinuation { waiter in
            let isDone = state.withLock { state in
                if state.wanted == state.done || state.isOver { return true }
                state.waiters.append(waiter)
                return false
            }
            if isDone { waiter.resume() }
        }
    }

    /// The mount ends, and with it the dropper: ends all waits.
    func end() {
        let waiters = state.withLock { state in
            state.isOver = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
