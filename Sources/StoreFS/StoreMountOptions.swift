import FuseSession
import KernelCache
import Logging
import SystemPackage

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
    /// requests; and if this process and its guardian are both killed, the kernel may answer from its
    /// caches for so long. 0: its own caches keep no names and attributes; the maps do.
    public var keptSeconds = 3600.0
    /// The store has a lease (`ChangeSink.extendLease`). The kernel then keeps nothing that the maps
    /// answer, which nobody could take back from it when the lease ends.
    public var hasLease = false
    /// Attribute slots of the maps, a power of two, 128 bytes each; and as many names.
    public var cacheEntries = 1 << 16
    /// Bytes of the maps for file data.
    public var dataBytes = 64 << 20
    /// Bytes up to which a file's data is kept in the maps.
    public var fileMax = 1 << 20
    /// Whether the commands `shortfuse status`, `stats`, `warm`, `metrics` and `unmount` know the mount,
    /// which is recorded in /run/shortfuse for that, or in an ordinary user's `$XDG_RUNTIME_DIR`. The
    /// maps are pinned then, too.
    public var isListed = true
    /// Entries a second that are drawn from the maps and compared with what the store answers, to find a
    /// store that does not tell of every change; 0: none. `shortfuse status` counts those that differ, and
    /// the log names them. Each costs the store a question.
    public var verifiedPerSecond = 0
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

    /// - Parameter record: where the mount is listed.
    func maps(_ record: MountRecord?) -> KernelCache.Options {
        let seconds = hasLease || !keptSeconds.isFinite ? 0 : min(max(keptSeconds, 0), 1e9)
        return KernelCache.Options(
            slots: cacheEntries, names: cacheEntries, dataBytes: dataBytes, fileMax: fileMax,
            // A lease ends what the programs answer, and not what the kernel was allowed to keep.
            keptSeconds: UInt32(seconds), settleTicks: settleTicks,
            pinDirectory: record?.runtime.pins, gauges: record?.counters.gauges)
    }
}
