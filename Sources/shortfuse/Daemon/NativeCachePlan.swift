import FuseSession
import KernelCache
import MirrorFS
import MountRegistry
import StoreFS
import SystemPackage

/// Whether a mount uses the kernel's own caches, and what it needs for that.
struct NativeCachePlan {
    let caches: NativeCaches?
    let notices: MountNotices
    let notifier = Notifier()
    /// Of SOURCE; nil where it is not to be watched, or cannot be.
    let watcher: SourceWatcher?
    /// Why they are not in use.
    let reason: String?

    /// Seconds. What may be kept at all may be kept until the kernel is told.
    private static let untilTold = 3600.0

    /// - Parameter isAccelerated: the maps want a watcher, too.
    /// - Throws: `SourceWatcher.Unwatchable` if accelerated: the maps would be wrong.
    init(_ daemon: Daemon, isAccelerated: Bool) throws(SourceWatcher.Unwatchable) {
        notices = MountNotices(notifier)
        let options = daemon.options
        let isWanted = options.kernelCache
        var watcher: SourceWatcher?
        var reason = isWanted ? nil : "-o kernel_cache=off"
        var seconds = Self.untilTold
        switch options.sourceChanges {
        case .none: break
        case .ttl(let milliseconds):
            seconds = Double(milliseconds) / 1000
            if isAccelerated, reason == nil {
                reason = "what the maps answer may be as old as source_changes=ttl permits"
            }
        case .watch:
            guard isAccelerated || isWanted else { break }
            do throws(SourceWatcher.Unwatchable) {
                watcher = try SourceWatcher(
                    source: daemon.plan.source.filePath,
                    hasLimit: !isWanted || Notifier.dropsNames)
            } catch {
                if isAccelerated { throw error }
                reason = "\(error)"
            }
            if let fallback = watcher?.fallback {
                reason =
                    "SOURCE is watched file by file by inotify, since fanotify cannot (\(fallback))"
                if !isAccelerated { watcher = nil }
            }
        }
        self.watcher = watcher
        self.reason = reason
        guard reason == nil else {
            caches = nil
            return
        }
        caches = NativeCaches(
            options: .init(
                seconds: seconds, keepsPages: seconds == Self.untilTold,
                settleTicks: UInt32(clamping: options.settle)))
    }

    /// - Throws: if the kernel is to open files by itself and would not be told of changes, or cannot do
    ///   as SOURCE does.
    func checkOpens(_ daemon: Daemon) throws(Failure) {
        guard daemon.options.opensInKernel else { return }
        let why = "\(daemon.plan.source): -o opens=kernel"
        guard caches?.options.keepsPages ?? false else {
            throw Failure(
                "\(why) needs the kernel's own caches, which are not in use: "
                    + "\(reason ?? "what others change shows by a time-out"); leave it out")
        }
        if let type = SourceType(daemon.plan.source), type.decidesAtOpen {
            throw Failure(
                "\(why): SOURCE is on \(type.name), where opening a file does more than a lookup; "
                    + "leave it out")
        }
    }

    /// For the programs.
    var seconds: UInt32 { caches == nil ? 0 : UInt32(Self.untilTold) }
}
