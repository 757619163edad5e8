import FuseSession
import KernelCache
import Synchronization

/// What the kernel is told to drop from its own caches, for `NativeCaches`.
public final class MountNotices: CacheNotices {
    /// Sends the notifications.
    public let notifier: Notifier
    private let dropper = Mutex<CacheDropper?>(nil)

    /// - Parameter notifier: sends nothing until it is started.
    public init(_ notifier: Notifier) { self.notifier = notifier }

    /// Has `dropper` tell what cannot be told at once.
    public func use(_ dropper: CacheDropper) { self.dropper.withLock { $0 = dropper } }

    public func dropAttributes(of nodeid: UInt64) -> Bool {
        notifier.dropAttributes(of: nodeid)
    }

    public func dropAttributesLater(of nodeid: UInt64) {
        dropper.withLock { $0 }?.drop(.attributes(nodeid), in: nodeid)
    }
}
