import FuseSession
import KernelCache
import Synchronization

/// Sends `NativeCaches`' notifications to drop something from the kernel's own caches.
package final class MountNotices: CacheNotices {
    /// Sends the notifications.
    package let notifier: Notifier
    private let dropper = Mutex<CacheDropper?>(nil)

    /// - Parameter notifier: sends nothing before it is started.
    package init(_ notifier: Notifier) { self.notifier = notifier }

    /// Uses `dropper` for notifications that may have to wait.
    package func use(_ dropper: CacheDropper) { self.dropper.withLock { $0 = dropper } }

    package func dropAttributes(of nodeid: UInt64) -> Bool {
        notifier.dropAttributes(of: nodeid)
    }

    package func dropAttributesLater(of nodeid: UInt64) {
        dropper.withLock { $0 }?.drop(.attributes(nodeid), in: nodeid)
    }
}
