import FuseSession
import StoreFS
import Synchronization
import Syscall
import SystemPackage

/// The open nodes on other mounts than SOURCE's own. They are closed as soon as they are idle;
/// otherwise umount(8) would find an unused mount busy.
final class Guests: Sendable {
    private struct State {
        var open: Set<NodeID> = []
        var release: (@Sendable ([NodeID]) -> Void)?
        var isReleasing = false
    }

    /// Milliseconds between two checks; nodes that were not used in between are closed. Longer:
    /// umount(8) must wait longer. Shorter: files that are used occasionally are reopened more
    /// often.
    private static let interval = 1_000

    private let state = Mutex(State())
    private let expiry = Expiry()

    /// - Parameter release: closes those of the given nodes that were not used since the last time.
    func start(_ release: @escaping @Sendable ([NodeID]) -> Void) {
        state.withLock { $0.release = release }
    }

    func insert(_ node: NodeID) {
        let (release, isFirst) = state.withLock { state in
            let isFirst = state.open.isEmpty
            state.open.insert(node)
            let starts = !state.isReleasing && state.release != nil
            state.isReleasing = state.isReleasing || starts
            return (starts ? state.release : nil, isFirst)
        }
        if isFirst { expiry.wake() }
        guard let release else { return }
        do throws(Errno) {
            try expiry.start(
                "release", milliseconds: Self.interval,
                while: { [self] in state.withLock { !$0.open.isEmpty } },
                { [self] in release(state.withLock { Array($0.open) }) })
        } catch {
            // They stay open, like all others; the next node tries again.
            state.withLock { $0.isReleasing = false }
        }
    }

    func remove(_ node: NodeID) {
        state.withLock { _ = $0.open.remove(node) }
    }

    /// Ends the thread and waits for it.
    func stop() { expiry.stop() }
}
