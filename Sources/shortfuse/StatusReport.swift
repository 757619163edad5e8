import Glibc
import KernelCache

/// What `status --json` prints.
struct StatusReport: Encodable {
    var mounts: [MountReport]
}

/// One mount, as `status` shows it.
struct MountReport: Encodable {
    enum Life: String, Encodable {
        case live, dead
    }

    var source: String
    var mountpoint: String
    var pid: Int32
    var state: Life
    /// False for a live daemon that serves files still open after a lazy unmount.
    var mounted: Bool
    var accelerated: Bool
    var reason: String?
    var pins: String
    var options: [String]
    var version: String
    var started: String
    var requestsFile: String
    var daemonRequests: [String: UInt64]
    /// Files that the daemon keeps for the kernel.
    var nodes: UInt64
    var connection: ConnectionState?
    var answered: [String: UInt64] = [:]
    var passed: [String: UInt64] = [:]
    var refused: [String: UInt64] = [:]

    enum CodingKeys: String, CodingKey {
        case source, mountpoint, pid, state, mounted, accelerated, reason, pins, options, version
        case started
        case requestsFile = "requests_file"
        case daemonRequests = "daemon_requests"
        case nodes, connection, answered, passed, refused
    }

    init(_ mount: MountState, runtime: RuntimeDirectory) throws(Failure) {
        let alive = mount.process.isAlive
        source = mount.source
        mountpoint = mount.mountpoint
        pid = mount.process.pid
        state = alive ? .live : .dead
        mounted = try MountTable.top(at: mountpoint)?.type.hasPrefix("fuse") ?? false
        accelerated = alive && mount.accelerated
        reason = alive ? mount.reason : "its daemon is gone; shortfuse unmount \(mountpoint)"
        pins = mount.pins
        options = mount.options
        version = mount.version
        started = mount.started
        connection = mount.connection
        requestsFile = runtime.requestsPath
        let words = Self.readWords(runtime.requestsPath)
        daemonRequests = OpcodeNames.byName(
            words.prefix(OpcodeNames.count).enumerated().map { ($0.offset, $0.element) })
        nodes = words.count > OpcodeNames.count ? words[OpcodeNames.count] : 0
        if accelerated {
            let counters = try Self.readCounters(pins)
            answered = OpcodeNames.byName(counters.map { (Int($0), $1.answered) })
            passed = OpcodeNames.byName(counters.map { (Int($0), $1.passed) })
            refused = OpcodeNames.byName(counters.map { (Int($0), $1.refused) })
        }
    }

    private static func readCounters(
        _ pins: String
    ) throws(Failure) -> [UInt32: OpcodeCounters] {
        do {
            return try KernelCache.counters(pinDirectory: pins)
        } catch {
            throw Failure("\(pins): \(error); run this as root, and leave the pins in place")
        }
    }

    /// The words of a `CounterFile`, little-endian.
    private static func readWords(_ path: String) -> [UInt64] {
        guard let bytes = try? Files.read(path, limit: CounterFile.size) else { return [] }
        return (0..<bytes.count / 8).map { word in
            bytes[(word * 8)..<(word * 8 + 8)].reversed()
                .reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        }
    }

    // MARK: Text

    /// For people: head lines, then a table by opcode.
    var text: String {
        var lines = ["\(mountpoint)  (source \(source))"]
        switch state {
        case .dead:
            lines.append("  dead: \(reason ?? "")")
        case .live:
            let place = mounted ? "" : ", unmounted, serves files that are still open"
            lines.append("  live: process \(pid) since \(started)\(place)")
            lines.append(
                accelerated
                    ? "  accelerated: maps in \(pins)"
                    : "  not accelerated: \(reason ?? "for a reason not recorded")")
            lines.append("  nodes: \(nodes)")
            lines += connection?.lines.map { "  " + $0 } ?? []
        }
        let names = Set(daemonRequests.keys).union(answered.keys).union(passed.keys)
            .union(refused.keys).sorted()
        guard !names.isEmpty else { return lines.joined(separator: "\n") }
        let columns =
            accelerated
            ? [
                ("daemon", daemonRequests), ("answered", answered), ("passed", passed),
                ("refused", refused),
            ] : [("daemon", daemonRequests)]
        lines.append(Self.row("request", columns.map(\.0)))
        for name in names {
            lines.append(Self.row(name, columns.map { String($0.1[name] ?? 0) }))
        }
        return lines.joined(separator: "\n")
    }

    private static func row(_ name: String, _ cells: [String]) -> String {
        "  " + name + spaces(16 - name.count)
            + cells.map { spaces(13 - $0.count) + $0 }.joined()
    }

    private static func spaces(_ count: Int) -> String {
        String(repeating: " ", count: max(count, 1))
    }
}
