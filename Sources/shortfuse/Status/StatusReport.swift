import Glibc
import KernelCache
import MountRegistry
import Syscall
import SystemPackage

/// What `status --json` prints.
struct StatusReport: Encodable {
    var mounts: [MountReport]
}

/// What the module keeps for an attached mount, and its daemon does not know of.
struct KeptFigures: Encodable {
    /// Files and directories that were closed; the daemon has them open.
    var handles: UInt64
    /// Of the kernel's, which the daemon has not counted.
    var lookups: UInt64
}

/// One mount, as `status` shows it.
struct MountReport: Encodable {
    enum Life: String, Encodable {
        case live, dead
    }

    var source: Path
    var mountpoint: Path
    var pid: Int32
    var state: Life
    /// False for a live daemon that serves files still open after a lazy unmount.
    var mounted: Bool
    var accelerated: Bool
    var reason: String?
    /// The kernel's own caches are in use, too; else why not.
    var kernelCache: Bool
    var kernelCacheReason: String?
    var pins: String
    var options: [String]
    var version: String
    var started: String
    var requestsFile: Path
    var daemonRequests: [String: UInt64]
    /// Files that the daemon keeps for the kernel.
    var nodes: UInt64
    /// Made by others in SOURCE and told to the daemon; and how often it was not told which.
    var sourceChanges: UInt64
    var sourceOverflows: UInt64
    /// Cached entries that were compared with SOURCE (`verify=RATE`), and those that differed.
    var verified: UInt64
    var differences: UInt64
    var connection: ConnectionState?
    /// That its daemon has kept, in the names of capabilities(7); nil of older daemons.
    var capabilities: [String]?
    /// Somebody else's mount, which `attach` answers for.
    var attached: AttachedState?
    /// What the module keeps for it; nil of our own mounts, and of one that is gone.
    var kept: KeptFigures?
    var answered: [String: UInt64] = [:]
    var passed: [String: UInt64] = [:]
    var refused: [String: UInt64] = [:]
    /// All of `requestsFile`; not encoded.
    let counts: CounterSnapshot

    enum CodingKeys: String, CodingKey {
        case source, mountpoint, pid, state, mounted, accelerated, reason, pins, options, version
        case kernelCache = "kernel_cache"
        case kernelCacheReason = "kernel_cache_reason"
        case started
        case requestsFile = "requests_file"
        case daemonRequests = "daemon_requests"
        case sourceChanges = "source_changes"
        case sourceOverflows = "source_overflows"
        case verified, differences
        case capabilities
        case nodes, connection, attached, kept, answered, passed, refused
    }

    init(_ mount: MountState, runtime: RuntimeDirectory) throws(Failure) {
        let alive = mount.process.isAlive
        source = mount.source
        mountpoint = mount.mountpoint
        pid = mount.process.pid
        state = alive ? .live : .dead
        mounted = mount.isMounted(in: try MountTable.current())
        accelerated = alive && mount.accelerated
        let mend = mount.attached == nil ? "unmount" : "detach"
        reason = alive ? mount.reason : "its daemon is gone; shortfuse \(mend) \(mountpoint)"
        kernelCacheReason = alive ? mount.kernelCacheReason : reason
        kernelCache = kernelCacheReason == nil
        pins = mount.pins
        options = mount.options
        version = mount.version
        started = mount.started
        connection = mount.connection
        attached = mount.attached
        capabilities = mount.capabilities
        requestsFile = runtime.requestsPath
        counts = CounterSnapshot(path: runtime.requestsPath)
        daemonRequests = OpcodeNames.byName(
            counts.requests.enumerated().map { ($0.offset, $0.element) })
        nodes = counts.nodes
        sourceChanges = counts[.sourceChanges]
        sourceOverflows = counts[.sourceOverflows]
        verified = counts[.verified]
        differences = counts[.differences]
        if accelerated {
            let counters = try Self.readCounters(pins)
            refused = OpcodeNames.byName(counters.map { (Int($0), $1.refused) })
            if attached == nil {
                answered = OpcodeNames.byName(counters.map { (Int($0), $1.answered) })
                passed = OpcodeNames.byName(counters.map { (Int($0), $1.passed) })
            } else {
                try readFigures()
            }
        }
    }

    private static func readCounters(
        _ pins: String
    ) throws(Failure) -> [UInt32: OpcodeCounters] {
        do {
            return try KernelCache.counters(pinDirectory: pins)
        } catch {
            throw Failure(unreadable(pins, error))
        }
    }

    /// Of an attached mount: what the module says became of its requests, instead of what the programs
    /// say. Nothing if it was unmounted meanwhile.
    private mutating func readFigures() throws(Failure) {
        guard mounted else { return }
        do {
            // O_PATH: root itself may not enter what a user has mounted.
            let root = try Syscall.open(mountpoint.cString, flags: Syscall.openPath)
            defer { Syscall.close(root) }
            let figures = try AttachedFigures(root: root.rawValue)
            answered = OpcodeNames.byName(figures.answered.map { (Int($0), $1) })
            passed = OpcodeNames.byName(figures.asked.map { (Int($0), $1) })
            kept = KeptFigures(handles: figures.keptHandles, lookups: figures.owedLookups)
        } catch KernelCacheError.figuresFailed(.socketNotConnected) {
            return
        } catch {
            throw Failure("\(mountpoint): \(error)")
        }
    }

    /// Why the pinned maps do not tell anything, and the mend.
    static func unreadable(_ pins: String, _ error: KernelCacheError) -> String {
        "\(pins): \(error); run this as root, and mount again if the pins were removed"
    }

    /// All requests named above, in order.
    var requestNames: [String] {
        Set(daemonRequests.keys).union(answered.keys).union(passed.keys).union(refused.keys)
            .sorted()
    }

    // MARK: Text

    /// For people: head lines, then a table by opcode.
    var text: String {
        let columns =
            attached != nil
            ? [("answered", answered), ("asked", passed), ("refused", refused)]
            : accelerated
                ? [
                    ("daemon", daemonRequests), ("answered", answered), ("passed", passed),
                    ("refused", refused),
                ] : [("daemon", daemonRequests)]
        var table = TextTable(nameWidth: 16, cellWidth: 13)
        for name in requestNames {
            if table.isEmpty { table.add("request", columns.map(\.0)) }
            table.add(name, columns.map { String($0.1[name] ?? 0) })
        }
        return (head + table.lines).joined(separator: "\n")
    }

    private var privilegeLines: [String] {
        guard let capabilities else { return [] }
        let list = capabilities.isEmpty ? "none" : capabilities.joined(separator: " ")
        return ["  privileges: \(list)"]
    }

    private var keptLines: [String] {
        guard let kept else { return [] }
        return ["  kept: \(kept.handles) open files; \(kept.lookups) lookups not counted by it"]
    }

    /// Fewer requests than this say nothing about what there is to gain.
    private static let fewRequests: UInt64 = 1000

    /// Of an attached mount: what its daemon was spared, by what was counted; nil if nothing was.
    var gain: String? {
        let answered = self.answered.values.reduce(0, +)
        let all = answered + passed.values.reduce(0, +)
        guard attached != nil, all > 0 else { return nil }
        let isLittle = all >= Self.fewRequests && answered < all / 100
        return "\(answered) of \(all) requests answered"
            + (isLittle
                ? "; so far the kernel asked for hardly anything twice: if that stays so, there is nothing to gain"
                : "")
    }

    private var sourceLines: [String] {
        var lines: [String] = []
        if sourceChanges > 0 || sourceOverflows > 0 {
            lines.append(
                "  changes behind the mount: \(sourceChanges); "
                    + "too many to be told: \(sourceOverflows) times")
        }
        if verified > 0 || differences > 0 {
            lines.append("  verified: \(verified) entries; \(differences) differed")
        }
        return lines
    }

    /// Which mount it is, and how it is.
    var head: [String] {
        let title = "\(mountpoint)  (source \(source))"
        switch state {
        case .dead:
            return [title, "  dead: \(reason ?? "")"]
        case .live where attached != nil:
            return [
                title, "  attached: process \(pid) since \(started)\(mounted ? "" : ", unmounted")",
                "  policy: \(attached?.policy ?? ""); a mount of \(attached?.type ?? "")",
                "  maps in \(pins)",
            ] + (gain.map { ["  \($0)"] } ?? []) + keptLines + privilegeLines
        case .live:
            let place = mounted ? "" : ", unmounted, serves files that are still open"
            return [
                title, "  live: process \(pid) since \(started)\(place)",
                accelerated
                    ? "  accelerated: maps in \(pins)"
                    : "  not accelerated: \(reason ?? "for a reason not recorded")",
                kernelCacheReason.map { "  kernel's own caches: not in use: \($0)" }
                    ?? "  kernel's own caches: in use",
                "  nodes: \(nodes)",
            ] + privilegeLines + sourceLines + (connection?.lines.map { "  " + $0 } ?? [])
        }
    }
}
