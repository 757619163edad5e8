import FuseSession
import Glibc
import KernelCache
import Logging
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
        let known: KnownNodes
        do throws(SessionError) {
            known = try KnownNodes()
        } catch {
            throw StoreMountError("\(path): \(error)")
        }
        let nodes = StoreNodes(root: store.root, known: known)
        let notifier = Notifier()
        self.notifier = notifier
        let (cache, kernel, reason) = try Self.accelerate(options, nodes)
        self.cache = cache
        acceleration = reason.map { .plain(reason: $0) } ?? .accelerated
        let engine = StoreFS(
            store, nodes: nodes, cache: cache, notices: MountNotices(notifier),
            seconds: options.keptSeconds, settleTicks: options.settleTicks, log: options.log)
        self.engine = engine
        store.begin(engine.sink)
        do {
            var sessionOptions = options.session(isReadOnly: store.isReadOnly)
            // At once: the guardian waits for this process to end.
            sessionOptions.ended = { notifier.dropAttributes(of: known) }
            session = try Session(
                engine, options: sessionOptions,
                counters: try options.countersPath.map { try Self.counters(at: $0) },
                log: options.log)
            try session.mount(at: path)
            do {
                try notifier.start(session.deviceFD)
                engine.start(
                    try CacheDropper(notifier) { [weak nodes] in nodes?.node($0) == nil })
                guardian = try Guardian(
                    mountpoint: path, device: session.deviceFD, nodes: known, log: options.log)
                if let cache, let kernel {
                    try cache.attach(fuseFD: session.deviceFD.rawValue, kernel: kernel)
                }
            } catch {
                session.unmount()
                throw error
            }
        } catch {
            cache?.close()
            throw StoreMountError("\(path): \(error)")
        }
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
    }

    /// - Returns: the cache and the kernel that it fits, or why there is none.
    private static func accelerate(
        _ options: StoreMountOptions, _ nodes: StoreNodes<S.ID>
    ) throws(StoreMountError) -> (KernelCache?, KernelFit?, reason: String?) {
        if options.acceleration == .off { return (nil, nil, "not asked for") }
        do throws(KernelCacheError) {
            guard access("/dev/shortfuse", F_OK) == 0 else { throw .moduleMissing }
            let kernel = try KernelFit.running()
            try kernel.require()
            let cache = try KernelCache(options: options.maps, logger: options.log) {
                nodeid, lookups in
                _ = nodes.node(nodeid)?.add(lookups: Int64(truncatingIfNeeded: lookups))
            }
            return (cache, kernel, nil)
        } catch {
            if options.acceleration == .required { throw StoreMountError("\(error)") }
            return (nil, nil, "\(error)")
        }
    }

    /// Counters in a file, for others to read.
    private static func counters(at path: FilePath) throws(StoreMountError) -> RequestCounters {
        let size = RequestCounters.byteCount
        let file = path.withPlatformString {
            Glibc.open($0, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        }
        defer { if file >= 0 { close(file) } }
        guard file >= 0, posix_fallocate(file, 0, off_t(size)) == 0,
            let memory = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
            memory != MAP_FAILED
        else {
            throw StoreMountError("\(path): cannot count requests here: \(Errno(rawValue: errno))")
        }
        return RequestCounters(memory: memory)
    }
}

/// How a store is mounted.
public struct StoreMountOptions: Sendable {
    /// Whether the kernel is to answer from maps.
    public enum Acceleration: Sendable {
        /// If it can (`automatic`), or there is no mount without it (`required`), or never (`off`).
        case automatic, required, off
    }

    /// Whether the kernel is to answer from maps. `StoreMount.acceleration` says what came of it.
    public var acceleration = Acceleration.automatic
    /// What mount(8) shows as the source.
    public var sourceName = "store"
    /// What mount(8) shows as the type: `fuse.` and this.
    public var subtype: String?
    /// Further `-o` options, mount(8)'s and libfuse's.
    public var mountOptions: [String] = []
    /// Seconds for which the kernel may keep an answer that it is not told to drop. Longer: fewer
    /// requests; and if this process is killed, the kernel may go on to answer for so long.
    public var keptSeconds = 10.0
    /// The store has a lease (`ChangeSink.extendLease`). The kernel then keeps nothing that the maps
    /// answer, which nobody could take back from it when the lease ends.
    public var hasLease = false
    /// Attribute slots of the maps, a power of two, 128 bytes each; and as many names.
    public var cacheEntries = 1 << 16
    /// Bytes of the maps for file data.
    public var dataBytes = 64 << 20
    /// Bytes up to which a file's data is kept in the maps.
    public var fileMax = 1 << 20
    /// A folder on the BPF file system where the maps are pinned; nil: nowhere.
    public var pinDirectory: FilePath?
    /// A file of 64 words, one for each opcode of <linux/fuse.h>, that counts the requests that reach
    /// this process; nil: nowhere.
    public var countersPath: FilePath?
    /// As `NativeCaches.Options.settleTicks`.
    var settleTicks: UInt32 = 512
    /// Where the library writes what goes wrong while it serves.
    public var log = Logger(label: "store")

    /// The options as they are by default.
    public init() {}

    func session(isReadOnly: Bool) -> Session.Options {
        var session = Session.Options()
        session.sourceName = Array(sourceName.utf8)
        session.subtype = subtype.map { Array($0.utf8) }
        session.mountOptions += mountOptions.map { Array($0.utf8) }
        if isReadOnly { session.mountOptions.append(Array("ro".utf8)) }
        return session
    }

    var maps: KernelCache.Options {
        KernelCache.Options(
            slots: cacheEntries, names: cacheEntries, dataBytes: dataBytes, fileMax: fileMax,
            // A lease ends what the programs answer, and not what the kernel was allowed to keep.
            keptSeconds: hasLease ? 0 : UInt32(clamping: Int(keptSeconds)),
            settleTicks: settleTicks, pinDirectory: pinDirectory?.string)
    }
}

/// In one line: what cannot be had, and the mend.
public struct StoreMountError: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
