import FuseSession
import Glibc
import KernelCache
import MirrorFS
import SystemPackage

/// A mount in place: its session and, if accelerated, its kernel cache.
final class ServingMount {
    let session: Session
    private let cache: KernelCache?
    private var pages: PageDropper?
    private var hasEnded = false

    /// Mounts without acceleration.
    init(_ daemon: Daemon, counters: CounterFile) throws {
        cache = nil
        (session, _) = try Self.mount(
            daemon, counters: counters, nodes: NodeTable(gauge: counters.nodes), cache: nil)
    }

    /// Mounts with acceleration.
    /// - Throws: `KernelCacheError` or `SourceWatcher.Unwatchable` if only that is the matter; nothing
    ///   is mounted or pinned then.
    init(
        _ daemon: Daemon, counters: CounterFile, acceleratedAt pins: String,
        onAbandon: @escaping @Sendable (_ reason: String) -> Void
    ) throws {
        KernelModule.load()
        // Before anything is mounted: by far the most frequent reason.
        guard Files.exists(KernelModule.device) else { throw KernelCacheError.moduleMissing }
        let changes = daemon.options.sourceChanges
        let source = FilePath(daemon.plan.source)
        // Before anything of SOURCE is read.
        let watcher = changes == .watch ? try SourceWatcher(source: source) : nil
        if let fallback = watcher?.fallback {
            daemon.log.notice(
                "\(source): watched file by file by inotify, since fanotify cannot (\(fallback))")
        }
        let nodes = NodeTable(gauge: counters.nodes)
        let cache = try KernelCache(
            options: .init(
                slots: daemon.cacheEntries, names: daemon.cacheEntries,
                dataBytes: daemon.options.cacheData, fileMax: daemon.options.cacheFileMax,
                pinDirectory: pins, gauges: counters.gauges),
            logger: daemon.log, onAbandon: onAbandon
        ) { nodeid, lookups in nodes.credit(nodeid: nodeid, lookups: lookups) }
        self.cache = cache
        let mirror: MirrorFS
        do {
            (session, mirror) = try Self.mount(
                daemon, counters: counters, nodes: nodes, cache: cache, watcher: watcher)
        } catch {
            cache.close()
            throw error
        }
        do {
            let pages = try PageDropper(device: session.deviceFD)
            self.pages = pages
            try mirror.followSource(changes, pages: pages)
            try mirror.verify(rate: daemon.options.verify)
            try cache.attach(fuseFD: session.deviceFD.rawValue)
        } catch {
            end()
            throw error
        }
    }

    /// Unmounts, detaches and unpins, in this order. Detaching may wait for programs elsewhere on
    /// this host, and the mount must not wait with it. Nothing is answered in between: without its
    /// device the connection is dead, and the module looks at that before each answer.
    func end() {
        guard !hasEnded else { return }
        hasEnded = true
        pages?.stop()
        session.unmount()
        cache?.close()
    }

    private static func mount(
        _ daemon: Daemon, counters: CounterFile, nodes: NodeTable, cache: KernelCache?,
        watcher: SourceWatcher? = nil
    ) throws -> (Session, MirrorFS) {
        // Without time-outs, accelerated or not: the kernel asks each time, so answers are exact.
        var options = MirrorFS.Options()
        options.accessControlLists = daemon.options.accessControlLists
        options.watcher = watcher
        options.gauges = counters.gauges
        let fileSystem = try MirrorFS(
            source: FilePath(daemon.plan.source), nodes: nodes,
            coherence: Coherence(cache: cache), options: options, log: daemon.log)
        var sessionOptions = daemon.options.session(
            source: daemon.plan.source, threads: daemon.threads)
        sessionOptions.initialized = { daemon.record(ConnectionState($0)) }
        let session = try Session(
            fileSystem, options: sessionOptions, counters: counters.requests,
            latency: counters.latency, log: daemon.log)
        try session.mount(at: FilePath(daemon.plan.mountpoint))
        return (session, fileSystem)
    }
}
