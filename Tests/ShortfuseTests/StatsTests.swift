import FuseSession
import Glibc
import KernelCache
import Testing

@testable import MountRegistry
@testable import shortfuse

@Suite struct StatsTests {
    private let runtime: RuntimeDirectory
    private let words: UnsafeMutablePointer<UInt64>
    private let fixture: CounterFixture

    init() throws {
        fixture = try CounterFixture()
        (runtime, words) = (fixture.runtime, fixture.words)
    }

    /// As if the kernel had answered.
    private func accelerated(_ answered: [String: UInt64], maps: [MapUsage] = []) throws
        -> StatsSample
    {
        var mount = try MountReport(CounterFixture.state(), runtime: runtime)
        mount.accelerated = true
        mount.answered = answered
        return StatsSample(mount: mount, maps: maps)
    }

    private var latency: UnsafeMutablePointer<UInt64> {
        words + CounterLayout.latency.lowerBound / 8
    }

    @Test func ratiosAreOfAnsweredAndDaemon() throws {
        words[1] = 1  // LOOKUP
        words[2] = 4  // FORGET
        let report = StatsReport(try accelerated(["LOOKUP": 3, "GETATTR": 5]))
        #expect(report.requests["LOOKUP"]?.hitRatio == 0.75)
        #expect(report.requests["GETATTR"]?.hitRatio == 1)
        #expect(report.requests["FORGET"]?.hitRatio == 0)
        #expect(report.total == RequestFigures(answered: 8, daemon: 5))
        #expect(report.interval == nil)
        #expect(RequestFigures(passed: 3).hitRatio == nil)
        let lines = report.lines(withRates: false)
        #expect(lines.contains("  LOOKUP              3        0        0        1     75.0"))
        #expect(lines.contains("  total               8        0        0        5     61.5"))
    }

    @Test func intervalsAreWhatHappenedInBetween() throws {
        words[1] = 10
        latency[0] = 5
        let first = try accelerated(["LOOKUP": 100])
        words[1] = 30
        latency[LatencyBuckets.count - 1] = 2
        let second = try accelerated(["LOOKUP": 180, "GETATTR": 7])
        let interval = try #require(StatsInterval(from: first, to: second))
        let seconds = interval.seconds
        #expect(seconds > 0)
        #expect(interval.requests["LOOKUP"]?.answered == 80 / seconds)
        #expect(interval.requests["LOOKUP"]?.daemon == 20 / seconds)
        #expect(interval.requests["LOOKUP"]?.hitRatio == 0.8)
        #expect(interval.requests["GETATTR"]?.answered == 7 / seconds)
        #expect(interval.total.answered == 87 / seconds)
        #expect(interval.latency.count == 2)
        #expect(interval.latency.p50 == (1 << 36) - 1)
    }

    /// Counts of another daemon begin at 0 again.
    @Test func anotherDaemonHasNoInterval() throws {
        let first = try accelerated([:])
        var state = CounterFixture.state(ProcessIdentity(pid: 1, startTime: 0))
        state.accelerated = true
        let other = StatsSample(mount: try MountReport(state, runtime: runtime), maps: [])
        #expect(StatsInterval(from: first, to: other) == nil)
    }

    @Test func mapsTellWhatTheyHold() throws {
        let file = CounterLayout.gauges.lowerBound / 8
        words[file + CacheGauges.Name.attrsEvictions.rawValue] = 9
        try withPinnedMaps { maps in
            let report = StatsReport(try accelerated([:], maps: maps))
            #expect(report.maps["attrs"]?.evictions == 9)
            #expect(report.maps["attrs"]?.capacityBytes == 64 * 128)
            #expect(report.maps["names"]?.evictions == nil)
            #expect(
                report.lines(withRates: false).contains(
                    "  attrs               0       64      0 B   8.0 KiB         9"))
        }
    }

    private func withPinnedMaps(_ body: ([MapUsage]) throws -> Void) throws {
        let pins = "\(PinDirectory.root)/stats-test-\(getpid())"
        let cache = try KernelCache(
            options: .init(slots: 64, names: 64, pinDirectory: pins), logger: .init(label: "test"),
            ledger: { _, _ in })
        defer { cache.close() }
        try body(try KernelCache.usage(pinDirectory: pins))
    }

    @Test func percentilesAreOfTheBuckets() {
        var buckets = [UInt64](repeating: 0, count: LatencyBuckets.count)
        #expect(LatencySummary(buckets: buckets).max == 0)
        let fast = 20 * 16  // 2^23 ns and a sixteenth more
        buckets[fast] = 990
        buckets[fast + 16] = 9
        buckets[fast + 32] = 1
        let summary = LatencySummary(buckets: buckets)
        let times = [0, 16, 32].map { LatencyBuckets.durations(in: fast + $0).upperBound }
        #expect(summary.count == 1000)
        #expect(summary.p50 == times[0] && summary.p90 == times[0] && summary.p99 == times[0])
        #expect(summary.p999 == times[1])
        #expect(summary.max == times[2])
        let middle = LatencyBuckets.durations(in: fast).lowerBound
        #expect(middle...times[1] ~= summary.mean)
    }

    @Test func whatIsGoneIsNamed() throws {
        try runtime.write(CounterFixture.state(ProcessIdentity(pid: 1, startTime: 0)))
        let dead = #expect(throws: Failure.self) {
            try StatsSample(runtime, mountpoint: "/nowhere")
        }
        #expect(dead?.description.contains("shortfuse unmount /nowhere") == true)
        var lost = CounterFixture.state()
        lost.accelerated = true
        try runtime.write(lost)
        let unpinned = #expect(throws: Failure.self) {
            try StatsSample(runtime, mountpoint: "/nowhere")
        }
        #expect(unpinned?.description.contains("mount again") == true)
        try runtime.release()
        let unmounted = #expect(throws: Failure.self) {
            try StatsSample(runtime, mountpoint: "/nowhere")
        }
        #expect(unmounted?.description.contains("not mounted any more") == true)
    }

    @Test func hasTheKeysThatScriptsRead() throws {
        let sample = try accelerated(["LOOKUP": 1])
        let report = StatsReport(sample, since: sample)
        let json = String(decoding: try JSON.encode(report, inOneLine: true), as: UTF8.self)
        for key in [
            "mountpoint", "accelerated", "requests", "total", "answered", "passed", "refused",
            "daemon", "hit_ratio", "maps", "latency", "count", "mean_ns", "p50_ns", "p90_ns",
            "p99_ns", "p999_ns", "max_ns", "interval", "seconds", "daemon_per_second",
        ] {
            #expect(json.contains("\"\(key)\":"), "\(key)")
        }
        #expect(json.last == "\n")
        #expect(json.dropLast().firstIndex(of: "\n") == nil)
    }

    // MARK: The command line

    @Test(
        arguments: [
            (["stats", "--watch", "/m"], 1), (["stats", "/m", "--json", "--watch"], 1),
            (["stats", "--watch=2.5", "/m"], 2.5), (["stats", "/m"], nil),
        ] as [([String], Double?)])
    func watchesWithAndWithoutANumber(arguments: [String], seconds: Double?) throws {
        let stats = try Shortfuse.parseAsRoot(Stats.completing(arguments)) as? Stats
        #expect(stats?.mountpoint == "/m")
        #expect(stats?.watch == seconds)
    }

    @Test func onlyItsOwnOptionIsCompleted() {
        for arguments in [["status", "--watch"], ["stats", "--", "--watch"], []] {
            #expect(Stats.completing(arguments) == arguments)
        }
    }

    @Test(arguments: [
        ["stats"], ["stats", "/a", "/b"], ["stats", "--watch=0", "/a"],
        ["stats", "--watch=nan", "/a"], ["stats", "--watch=x", "/a"],
        ["stats", "--watch=1e9", "/a"],
    ])
    func usageErrorsExitWith64(arguments: [String]) {
        #expect {
            _ = try Shortfuse.parseAsRoot(Stats.completing(arguments))
        } throws: { error in
            Shortfuse.exitCode(for: error).rawValue == 64
        }
    }
}
