import FuseSession
import Glibc
import KernelCache
import MountRegistry
import Syscall
import SystemPackage

/// A store, mounted.
public final class StoreMount<S: Store> {
    /// Whether the kernel answers from maps, besides its own caches.
    public enum Acceleration: Sendable, Equatable {
        /// Maps answer, and the kernel's own caches.
        case accelerated
        /// The kernel's own caches are used all the same.
        case plain(reason: String)
    }

    /// Whether this mount is accelerated, or why not.
    public let acceleration: Acceleration
    private let session: Session
    private let cache: KernelCache?
    private let engine: StoreFS<S>
    private let notifier: Notifier
    private let guardian: Guardian
    /// Nil: it is not listed.
    private let record: MountRecord?
    private var hasEnded = false

    /// Mounts `store` at `path`, an existing directory. Nothing is answered before `run`.
    ///
    /// Accelerated if the module is loaded, and if this process is root's;
    /// `StoreMountOptions.acceleration` can require or forbid it.
    ///
    /// Blocks SIGINT, SIGTERM and SIGHUP in the calling thread, and in all that it starts from then on:
    /// only `run` takes them. A thread that was there before must have them blocked, too.
    /// - Parameters:
    ///   - store: what is mounted. It is kept for as long as the mount.
    ///   - path: where.
    ///   - options: how.
    /// - Throws: `StoreMountError`: what cannot be had, in one line.
    public init(
        _ store: S, at path: FilePath, options: StoreMountOptions = StoreMountOptions()
    ) throws(StoreMountError) {
        // Before there are other threads: only `run` takes the signals that end it.
        Session.holdEndingSignals()
        do {
            record = try options.isListed ? MountRecord(path, options: options) : nil
        } catch {
            throw StoreMountError("\(error)")
        }
        // What has been begun, to be ended in reverse if something fails.
        var begun: [() -> Void] = [{ [record] in record?.release() }]
        do {
            notifier = Notifier()
            let known = try KnownNodes()
            let nodes = StoreNodes(
                root: store.root, gauge: record?.counters.nodes, known: known)
            let (cache, kernel, reason) = try Self.accelerate(options, nodes, record)
            self.cache = cache
            begun.append { cache?.close() }
            acceleration = reason.map { .plain(reason: $0) } ?? .accelerated
            let engine = StoreFS(
                store, nodes: nodes, cache: cache, notices: MountNotices(notifier),
                seconds: options.keptSeconds, settleTicks: options.settleTicks, log: options.log)
            self.engine = engine
            store.begin(engine.sink)
            let session = try Self.session(engine, options, record) { [notifier] in
                // At once: the guardian waits for this process to end.
                notifier.dropAttributes(of: known)
            }
            self.session = session
            try session.mount(at: path)
            begun.append { session.unmount() }
            try notifier.start(session.deviceFD)
            engine.start(
                try CacheDropper(notifier) { [weak nodes] in nodes?.node($0) == nil })
            if let cache, let kernel {
                try cache.attach(fuseFD: session.deviceFD.rawValue, kernel: kernel)
            }
            try record?.mounted(reason)
            // The last that can fail: nothing has to end it again.
            guardian = try Guardian(
                mountpoint: path, device: session.deviceFD, nodes: known, log: options.log)
        } catch {
            for end in begun.reversed() { end() }
            throw StoreMountError("\(path): \(error)")
        }
        engine.verify(options.verifiedPerSecond, record?.counters.gauges)
    }

    deinit { end() }

    /// Serves until the mount is gone, or SIGINT, SIGTERM or SIGHUP arrives; then unmounts.
    /// - Returns: the signal, nil if there was none.
    /// - Throws: `StoreMountError` if requests cannot be read.
    @discardableResult
    public func run() throws(StoreMountError) -> Int32? {
        defer { end() }
        do {
            return try session.run()
        } catch {
            throw StoreMountError("\(error)")
        }
    }

    /// Ends `run`, from any thread.
    public func exit() { session.exit() }

    private func end() {
        guard !hasEnded else { return }
        hasEnded = true
        engine.stop()
        notifier.stop()
        session.unmount()
        // Who has a file open, or works there, still has the mount.
        guardian.release()
        cache?.close()
        record?.release()
    }

    private static func session(
        _ engine: StoreFS<S>, _ options: StoreMountOptions, _ record: MountRecord?,
        ended: @escaping @Sendable () -> Void
    ) throws(SessionError) -> Session {
        var session = options.session(isReadOnly: engine.store.isReadOnly)
        session.ended = ended
        if let runtime = record?.runtime {
            session.initialized = { agreement in
                runtime.record(options.log) { $0.connection = ConnectionState(agreement) }
            }
        }
        return try Session(
            engine, options: session, counters: record?.counters.requests,
            latency: record?.counters.latency, log: options.log)
    }

    /// - Returns: the cache and the kernel that it fits, or why there is none.
    private static func accelerate(
        _ options: StoreMountOptions, _ nodes: StoreNodes<S.ID>, _ record: MountRecord?
    ) throws(KernelCacheError) -> (KernelCache?, KernelFit?, reason: String?) {
        if options.acceleration == .off { return (nil, nil, "not asked for") }
        do throws(KernelCacheError) {
            guard access("/dev/shortfuse", F_OK) == 0 else { throw .moduleMissing }
            let kernel = try KernelFit.running()
            try kernel.require()
            let runtime = record?.runtime
            let cache = try KernelCache(
                options: options.maps(record), logger: options.log,
                onAbandon: { reason in
                    runtime?.record(options.log) {
                        $0.accelerated = false
                        $0.reason = reason
                    }
                },
                ledger: { nodeid, lookups in
                    _ = nodes.node(nodeid)?.add(lookups: Int64(truncatingIfNeeded: lookups))
                })
            return (cache, kernel, nil)
        } catch {
            if options.acceleration == .required { throw error }
            return (nil, nil, "\(error)")
        }
    }
}

/// In one line: what cannot be had, and the mend.
public struct StoreMountError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
