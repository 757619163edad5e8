import FuseSession
import KernelCache
import Synchronization

/// What the kernel is told to drop from its own caches, for `NativeCaches`.
package final class MountNotices: CacheNotices {
    /// Sends the notifications.
    package let notifier: Notifier
    private let dropper = Mutex<CacheDropper?>(nil)

    /// - Parameter notifier: sends nothing until it is started.
    package init(_ notifier: Notifier) { self.notifier = notifier }

    /// Has `dropper` tell what cannot be told at once.
    package func use(_ dropper: CacheDropper) { self.dropper.withLock { $0 = dropper } }

    package func dropAttributes(of nodeid: UInt64) -> Bool {
        notifier.dropAttributes(of: nodeid)
    }

    package func dropAttributesLater(of nodeid: UInt64) {
        dropper.withLock { $0 }?.drop(.attributes(nodeid), in: nodeid)
    }
}
