import Glibc
import KernelCache
import MountRegistry

/// A mount at one moment: what `stats` makes its figures of.
struct StatsSample {
    let mount: MountReport
    /// Empty if not accelerated.
    let maps: [MapUsage]
    let taken = ContinuousClock.now

    /// - Throws: also if there is nothing to look at: unmounted, or the daemon is gone.
    init(_ runtime: RuntimeDirectory, mountpoint: Path) throws(Failure) {
        guard let state = try runtime.state(), state.mountpoint == mountpoint else {
            throw Failure(
                "\(mountpoint): not mounted any more; `shortfuse status` lists the mounts")
        }
        mount = try MountReport(state, runtime: runtime)
        guard mount.state == .live else {
            throw Failure("\(mountpoint): dead: \(mount.reason ?? "")")
        }
        do {
            maps = mount.accelerated ? try KernelCache.usage(pinDirectory: state.pins) : []
        } catch {
            throw Failure(MountReport.unreadable(state.pins, error))
        }
    }

    init(mount: MountReport, maps: [MapUsage]) {
        self.mount = mount
        self.maps = maps
    }

    var requests: [String: RequestFigures] {
        var requests: [String: RequestFigures] = [:]
        for name in mount.requestNames {
            requests[name] = RequestFigures(
                answered: mount.answered[name] ?? 0, passed: mount.passed[name] ?? 0,
                refused: mount.refused[name] ?? 0,
                // Somebody else's daemon does not count for us.
                daemon: (mount.attached == nil ? mount.daemonRequests : mount.passed)[name] ?? 0)
        }
        return requests
    }

    /// Whether both looked at the same life of the mount, so that counts only grew in between.
    func continues(_ other: StatsSample) -> Bool {
        mount.pid == other.mount.pid && mount.started == other.mount.started
    }
}

/// What became of the requests of one kind.
struct RequestFigures: Encodable, Equatable {
    var answered: UInt64 = 0
    var passed: UInt64 = 0
    var refused: UInt64 = 0
    var daemon: UInt64 = 0

    /// Of all, those answered in the kernel: from 0 to 1, nil without any.
    var hitRatio: Double? {
        let all = answered &+ daemon
        return all == 0 ? nil : Double(answered) / Double(all)
    }

    enum CodingKeys: String, CodingKey {
        case answered, passed, refused, daemon
        case hitRatio = "hit_ratio"
    }

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(answered, forKey: .answered)
        try values.encode(passed, forKey: .passed)
        try values.encode(refused, forKey: .refused)
        try values.encode(daemon, forKey: .daemon)
        try values.encodeIfPresent(hitRatio, forKey: .hitRatio)
    }

    static func &+ (left: RequestFigures, right: RequestFigures) -> RequestFigures {
        RequestFigures(
            answered: left.answered &+ right.answered, passed: left.passed &+ right.passed,
            refused: left.refused &+ right.refused, daemon: left.daemon &+ right.daemon)
    }

    static func - (left: RequestFigures, right: RequestFigures) -> RequestFigures {
        RequestFigures(
            answered: growth(of: left.answered, since: right.answered),
            passed: growth(of: left.passed, since: right.passed),
            refused: growth(of: left.refused, since: right.refused),
            daemon: growth(of: left.daemon, since: right.daemon))
    }
}

/// What `stats --json` prints.
struct StatsReport: Encodable {
    var mountpoint: Path
    var source: Path
    var pid: Int32
    var accelerated: Bool
    var reason: String?
    var time: String
    var nodes: UInt64
    var requests: [String: RequestFigures]
    var total: RequestFigures
    var maps: [String: MapFigures] = [:]
    var latency: LatencySummary
    /// Nil at the first look.
    var interval: StatsInterval?
    /// For the text; not encoded.
    let head: [String]
    let mapNames: [String]

    enum CodingKeys: String, CodingKey {
        case mountpoint, source, pid, accelerated, reason, time, nodes
        case requests, total, maps, latency, interval
    }

    /// - Parameter previous: the look before, for the rates.
    init(_ sample: StatsSample, since previous: StatsSample? = nil) {
        let mount = sample.mount
        mountpoint = mount.mountpoint
        source = mount.source
        pid = mount.pid
        accelerated = mount.accelerated
        reason = mount.reason
        time = MountState.timestamp(Glibc.time(nil))
        nodes = mount.nodes
        requests = sample.requests
        total = requests.values.reduce(RequestFigures(), &+)
        for map in sample.maps {
            maps[map.name] = MapFigures(
                entries: map.entries, capacity: map.capacity, bytes: map.bytes,
                capacityBytes: map.capacityBytes,
                evictions: map.evictions.map { mount.counts[$0] })
        }
        latency = LatencySummary(buckets: mount.counts.latency)
        interval = previous.flatMap { StatsInterval(from: $0, to: sample) }
        head = mount.head
        mapNames = sample.maps.map(\.name)
    }
}

struct MapFigures: Encodable, Equatable {
    var entries: Int
    var capacity: Int
    var bytes: Int
    var capacityBytes: Int
    /// Nil where the kernel evicts without telling.
    var evictions: UInt64?

    enum CodingKeys: String, CodingKey {
        case entries, capacity, bytes
        case capacityBytes = "capacity_bytes"
        case evictions
    }
}

/// What happened between two looks.
struct StatsInterval: Encodable {
    var seconds: Double
    var requests: [String: RequestRates] = [:]
    var total: RequestRates
    var latency: LatencySummary

    /// Nil if another daemon took over in between.
    init?(from: StatsSample, to: StatsSample) {
        guard to.continues(from) else { return nil }
        let passed = from.taken.duration(to: to.taken) / .seconds(1)
        seconds = passed
        let before = from.requests
        var sum = RequestFigures()
        for (name, figures) in to.requests {
            let growth = figures - (before[name] ?? RequestFigures())
            requests[name] = RequestRates(growth, seconds: passed)
            sum = sum &+ growth
        }
        total = RequestRates(sum, seconds: passed)
        latency = LatencySummary(
            buckets: zip(to.mount.counts.latency, from.mount.counts.latency).map {
                growth(of: $0, since: $1)
            })
    }
}

/// Requests of one kind, per second.
struct RequestRates: Encodable {
    var answered: Double
    var passed: Double
    var refused: Double
    var daemon: Double
    var hitRatio: Double?

    enum CodingKeys: String, CodingKey {
        case answered = "answered_per_second"
        case passed = "passed_per_second"
        case refused = "refused_per_second"
        case daemon = "daemon_per_second"
        case hitRatio = "hit_ratio"
    }

    init(_ figures: RequestFigures, seconds: Double) {
        func rate(_ count: UInt64) -> Double { seconds > 0 ? Double(count) / seconds : 0 }
        answered = rate(figures.answered)
        passed = rate(figures.passed)
        refused = rate(figures.refused)
        daemon = rate(figures.daemon)
        hitRatio = figures.hitRatio
    }
}

/// Of a counter; 0 if its file has gone meanwhile, with the mount.
private func growth(of count: UInt64, since before: UInt64) -> UInt64 {
    count < before ? 0 : count - before
}
