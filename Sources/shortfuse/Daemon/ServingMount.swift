import FuseSession
import Glibc
import KernelCache
import MirrorFS
import MountRegistry
import Syscall
import SystemPackage

/// A mount in place: its session and, if accelerated, its kernel cache.
final class ServingMount {
    let session: Session
    private let cache: KernelCache?
    /// Why the kernel's own caches are not in use; nil if they are.
    let kernelCacheReason: String?
    private let notifier: Notifier
    private var dropper: CacheDropper?
    private var guardian: Guardian?
    private var hasEnded = false

    /// Mounts without acceleration.
    init(_ daemon: Daemon, counters: CounterFile) throws {
        cache = nil
        let plan = try NativeCachePlan(daemon, isAccelerated: false)
        try plan.checkOpens(daemon)
        let known = plan.caches == nil ? nil : try KnownNodes()
        kernelCacheReason = plan.reason
        notifier = plan.notifier
        let mirror: MirrorFS
        (session, mirror) = try Self.mount(
            daemon, counters: counters, nodes: NodeTable(gauge: counters.nodes, known: known),
            cache: nil, known: known, plan)
        do {
            try follow(daemon, mirror, known)
        } catch {
            end()
            throw error
        }
    }

    /// Mounts with acceleration.
    /// - Throws: `KernelCacheError` or `SourceWatcher.Unwatchable` if only that is the matter; nothing
    ///   is mounted or pinned then.
    init(
        _ daemon: Daemon, counters: CounterFile, on kernel: KernelFit, acceleratedAt pins: String,
        onAbandon: @escaping @Sendable (_ reason: String) -> Void
    ) throws {
        // Before anything of SOURCE is read.
        let plan = try NativeCachePlan(daemon, isAccelerated: true)
        try plan.checkOpens(daemon)
        if let fallback = plan.watcher?.fallback {
            daemon.log.notice(
                "\(daemon.plan.source): watched by inotify, since fanotify cannot (\(fallback))")
        }
        kernelCacheReason = plan.reason
        notifier = plan.notifier
        let known = plan.caches == nil ? nil : try KnownNodes()
        let nodes = NodeTable(gauge: counters.nodes, known: known)
        let cache = try KernelCache(
            options: .init(
                slots: daemon.cacheEntries, names: daemon.cacheEntries,
                dataBytes: daemon.options.cacheData, fileMax: daemon.options.cacheFileMax,
                keptSeconds: plan.seconds,
                settleTicks: UInt32(clamping: daemon.options.settle), pinDirectory: pins,
                gauges: counters.gauges),
            logger: daemon.log, onAbandon: onAbandon
        ) { nodeid, lookups in nodes.credit(nodeid: nodeid, lookups: lookups) }
        self.cache = cache
        let mirror: MirrorFS
        do {
            (session, mirror) = try Self.mount(
                daemon, counters: counters, nodes: nodes, cache: cache, known: known, plan)
        } catch {
            cache.close()
            throw error
        }
        do {
            try follow(daemon, mirror, known)
            try mirror.verify(rate: daemon.options.verify)
            try cache.attach(fuseFD: session.deviceFD.rawValue, kernel: kernel)
        } catch {
            end()
            throw error
        }
    }

    /// Before the first request is served: begins to tell the kernel what is void, and to follow what
    /// others change.
    private func follow(
        _ daemon: Daemon, _ mirror: MirrorFS, _ known: KnownNodes?
    ) throws {
        try notifier.start(session.deviceFD)
        let dropper = try CacheDropper(notifier) { [weak mirror] node in
            !(mirror?.knows(node) ?? false)
        }
        self.dropper = dropper
        if let known {
            guardian = try Guardian(
                mountpoint: daemon.plan.mountpoint.filePath, device: session.deviceFD, nodes: known,
                log: daemon.log)
        }
        try mirror.followSource(daemon.options.sourceChanges, dropper: dropper)
    }

    /// Unmounts, detaches and unpins, in this order. Detaching may wait for programs elsewhere on
    /// this host, and the mount must not wait with it. Nothing is answered in between: without its
    /// device the connection is dead, and the module looks at that before each answer.
    func end() {
        guard !hasEnded else { return }
        hasEnded = true
        dropper?.stop()
        notifier.stop()
        session.unmount()
        // Who has a file open, or works there, still has the mount.
        guardian?.release()
        cache?.close()
    }

    private static func mount(
        _ daemon: Daemon, counters: CounterFile, nodes: NodeTable, cache: KernelCache?,
        known: KnownNodes?, _ plan: NativeCachePlan
    ) throws -> (Session, MirrorFS) {
        var options = MirrorFS.Options()
        options.accessTimes = daemon.options.accessTimes
        options.accessControlLists = daemon.options.accessControlLists
        options.watcher = plan.watcher
        options.notices = plan.notices
        options.opensInKernel = daemon.options.opensInKernel
        options.gauges = counters.gauges
        let fileSystem = try MirrorFS(
            source: daemon.plan.source.filePath, nodes: nodes,
            coherence: Coherence(cache: cache, native: plan.caches, notices: plan.notices) {
                Session.callerEnds
            }, options: options,
            log: daemon.log)
        var sessionOptions = daemon.options.session(
            source: daemon.plan.source, threads: daemon.threads)
        sessionOptions.initialized = { daemon.record(ConnectionState($0)) }
        if let known {
            let notifier = plan.notifier
            // At once: the guardian waits for this process to end, which a call in SOURCE may delay.
            sessionOptions.ended = {
                notifier.dropAttributes(of: known)
            }
        }
        let session = try Session(
            fileSystem, options: sessionOptions, counters: counters.requests,
            latency: counters.latency, log: daemon.log)
        try session.mount(at: daemon.plan.mountpoint.filePath)
        if !daemon.options.followsSymlinks {
            do throws(Errno) {
                try Syscall.forbidSymlinks(at: daemon.plan.mountpoint.cString)
            } catch {
                session.unmount()
                throw Failure("-o nosymfollow: \(error); leave it out, or use Linux 5.14 or later")
            }
        }
        return (session, fileSystem)
    }
}
