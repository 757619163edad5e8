import FuseSession
import Testing

@testable import KernelCache
@testable import MountRegistry
@testable import shortfuse

@Suite struct PrometheusTextTests {
    @Test(arguments: [
        ("plain", "plain"), ("", ""), ("a\\b", "a\\\\b"), ("a\"b", "a\\\"b"), ("a\nb", "a\\nb"),
        ("a\r\nb", "a\r\\nb"), ("é 日 {x=\"1\"}", "é 日 {x=\\\"1\\\"}"), ("\\n", "\\\\n"),
        ("e\u{301}\"\u{301}", "e\u{301}\\\"\u{301}"),
    ])
    func labelsAreEscaped(value: String, escaped: String) {
        // As bytes: strings that look the same are equal.
        #expect(Array(PrometheusText.escapedLabel(value).utf8) == Array(escaped.utf8))
    }

    @Test func helpKeepsQuotationMarks() {
        #expect(PrometheusText.escapedHelp("a \"b\" \\ c\nd") == "a \"b\" \\\\ c\\nd")
    }

    @Test(arguments: [
        (0, "0.0"), (1.5, "1.5"), (1.024e-6, "1.024e-06"), (1e300, "1e+300"),
        (-.infinity, "-Inf"), (.infinity, "+Inf"), (.nan, "NaN"),
    ])
    func numbers(value: Double, text: String) {
        #expect(PrometheusText.number(value) == text)
    }

    @Test func familiesAndSamples() {
        var out = PrometheusText()
        out.begin("a_total", .counter, "As.")
        out.sample("a_total", [], UInt64.max)
        out.sample("a_total", [("x", "1"), ("y", "\"")], 2 as UInt64)
        out.begin("b", .gauge, "Bs.")
        out.sample("b", [("x", "")], 0.5)
        #expect(
            out.text == """
                # HELP a_total As.
                # TYPE a_total counter
                a_total 18446744073709551615
                a_total{x="1",y="\\""} 2
                # HELP b Bs.
                # TYPE b gauge
                b{x=""} 0.5

                """)
    }
}

@Suite struct LatencyHistogramTests {
    private var counts = [UInt64](repeating: 0, count: LatencyBuckets.count)

    /// Of the bucket that ends at so many seconds.
    private func atMost(_ seconds: Double, _ histogram: LatencyHistogram) -> UInt64? {
        histogram.buckets.first { $0.atMost == seconds }?.count
    }

    @Test func boundsDouble() {
        let histogram = LatencyHistogram(counts)
        let bounds = histogram.buckets.map(\.atMost)
        #expect(bounds.count == 26)
        #expect(bounds.first == 1.024e-6)
        #expect(bounds.last == 34.359738368)
        #expect(zip(bounds, bounds.dropFirst()).allSatisfy { $1 == 2 * $0 })
        #expect(histogram.count == 0 && histogram.sum == 0)
    }

    /// Each duration is in the bucket that it belongs to, up to the last nanosecond.
    @Test(arguments: [
        (1023, 1.024e-6, 0.512e-6), (1024, 2.048e-6, 1.024e-6),
        (1_048_575, 1_048_576e-9, 524_288e-9), (1_048_576, 2_097_152e-9, 1_048_576e-9),
    ])
    mutating func bucketsAreExact(nanoseconds: UInt64, inside: Double, outside: Double) throws {
        let index = try #require(
            (0..<LatencyBuckets.count).first {
                LatencyBuckets.durations(in: $0).contains(nanoseconds)
            })
        counts[index] = 3
        let histogram = LatencyHistogram(counts)
        #expect(atMost(inside, histogram) == 3)
        #expect(atMost(outside, histogram) ?? 0 == 0)
        #expect(histogram.count == 3)
        let sum = 3e-9 * Double(nanoseconds)
        #expect(abs(histogram.sum - sum) <= sum / 32)
    }

    @Test mutating func countsAreOfAllBefore() {
        counts[0] = 1
        counts[200] = 2
        counts[LatencyBuckets.count - 1] = 4
        let histogram = LatencyHistogram(counts)
        let cumulative = histogram.buckets.map(\.count)
        #expect(cumulative == cumulative.sorted())
        #expect(cumulative.first == 1)
        // What took longest is above all bounds.
        #expect(cumulative.last == 3)
        #expect(histogram.count == 7)
    }
}

@Suite struct ListenAddressTests {
    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1:80"), ("0.0.0.0:0", "0.0.0.0:0"),
        ("[::1]:65535", "[::1]:65535"),
        ("localhost:1", "127.0.0.1:1"), ("[::]:9", "[::]:9"),
    ])
    func isUnderstood(text: String, again: String) throws {
        #expect(ListenAddress.text(try ListenAddress(text).socket) == again)
    }

    @Test(arguments: [
        "", ":", "80", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
        "127.0.0.1:80x", "127.0.0.1:http", "127.0.0:80", "::1:80", "[::1]", "[127.0.0.1]:80",
        "example.org:80", "[::1:80", "127.0.0.1 :80",
    ])
    func isRefused(text: String) {
        let failure = #expect(throws: Failure.self) { try ListenAddress(text) }
        #expect(failure?.description.hasPrefix("--listen \(text): not a") == true)
        #expect(failure?.description.contains("give ADDRESS:PORT") == true)
    }
}

@Suite struct ProcessFiguresTests {
    @Test func areRead() throws {
        // Whatever the name is.
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 15 16 17 18 19 20"
        let figures = try #require(
            ProcessFigures(
                stat: Array(stat.utf8), memory: Array("100 7 3 1 0 9 0\n".utf8), pageBytes: 4096,
                ticksPerSecond: 100))
        #expect(figures.cpuSeconds == 3)
        #expect(figures.residentBytes == 7 * 4096)
        #expect(
            ProcessFigures(
                stat: Array("42 (a) S 1".utf8), memory: [], pageBytes: 1, ticksPerSecond: 1) == nil)
    }

    @Test func onlyOfTheProcessMeant() throws {
        let own = ProcessIdentity.current
        #expect(try #require(ProcessFigures(own)).residentBytes > 1 << 20)
        #expect(
            ProcessFigures(ProcessIdentity(pid: own.pid, startTime: own.startTime + 1)) == nil)
    }
}

@Suite struct MetricsReportTests {
    private let runtime: RuntimeDirectory
    private let words: UnsafeMutablePointer<UInt64>
    private let fixture: CounterFixture

    init() throws {
        fixture = try CounterFixture()
        (runtime, words) = (fixture.runtime, fixture.words)
    }

    private func lines(_ mounts: MountMetrics..., unreadable: Int = 0) -> [String] {
        MetricsReport.text(mounts, unreadable: unreadable).split(separator: "\n").map(String.init)
    }

    @Test func ofALiveMount() throws {
        words[1] = 7  // LOOKUP
        words[CounterLayout.latency.lowerBound / 8] = 2
        words[CounterLayout.gauges.lowerBound / 8 + CacheGauges.Name.verified.rawValue] = 5
        let lines = lines(
            MountMetrics(
                mountpoint: "/nowhere", down: nil,
                report: try MountReport(CounterFixture.state(), runtime: runtime)))
        for line in [
            #"shortfuse_up{mount="/nowhere"} 1"#, #"shortfuse_accelerated{mount="/nowhere"} 0"#,
            #"shortfuse_daemon_requests_total{mount="/nowhere",opcode="LOOKUP"} 7"#,
            // From the beginning, for rates.
            #"shortfuse_daemon_requests_total{mount="/nowhere",opcode="WRITE"} 0"#,
            #"shortfuse_daemon_request_duration_seconds_bucket{mount="/nowhere",le="1.024e-06"} 2"#,
            #"shortfuse_daemon_request_duration_seconds_bucket{mount="/nowhere",le="+Inf"} 2"#,
            #"shortfuse_daemon_request_duration_seconds_count{mount="/nowhere"} 2"#,
            #"shortfuse_verified_entries_total{mount="/nowhere"} 5"#,
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        let info = lines.first { $0.hasPrefix("shortfuse_mount_info{") } ?? ""
        #expect(info.contains(#",accelerated="no",reason="no \"module\"","#))
        #expect(!lines.contains { $0.hasPrefix("shortfuse_kernel_requests_total{") })
    }

    @Test func ofAnAcceleratedMount() throws {
        words[CounterLayout.gauges.lowerBound / 8 + CacheGauges.Name.attrsEvictions.rawValue] = 9
        var report = try MountReport(CounterFixture.state(), runtime: runtime)
        report.accelerated = true
        // The counts of the gauges are read at the beginning.
        report.answered = ["LOOKUP": 3, "OPCODE_63": 1]
        report.passed = ["LOOKUP": 2]
        let maps = [
            MapUsage(
                name: "attrs", entries: 2, capacity: 64, entryBytes: 128,
                evictions: .attrsEvictions),
            MapUsage(name: "names", entries: 0, capacity: 8, entryBytes: 40, evictions: nil),
        ]
        let lines = lines(
            MountMetrics(mountpoint: "/nowhere", down: nil, report: report, maps: maps))
        for line in [
            #"shortfuse_kernel_requests_total{mount="/nowhere",opcode="LOOKUP",result="answered"} 3"#,
            #"shortfuse_kernel_requests_total{mount="/nowhere",opcode="LOOKUP",result="passed"} 2"#,
            #"shortfuse_kernel_requests_total{mount="/nowhere",opcode="LOOKUP",result="refused"} 0"#,
            #"shortfuse_kernel_requests_total{mount="/nowhere",opcode="READ",result="answered"} 0"#,
            #"shortfuse_kernel_requests_total{mount="/nowhere",opcode="OPCODE_63",result="answered"} 1"#,
            #"shortfuse_map_entries{mount="/nowhere",map="attrs"} 2"#,
            #"shortfuse_map_capacity_bytes{mount="/nowhere",map="attrs"} 8192"#,
            #"shortfuse_map_capacity_entries{mount="/nowhere",map="names"} 8"#,
            #"shortfuse_map_evictions_total{mount="/nowhere",map="attrs"} 9"#,
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        // Nobody knows.
        #expect(!lines.contains { $0.contains(#"evictions_total{mount="/nowhere",map="names"}"#) })
        let info = lines.first { $0.hasPrefix("shortfuse_mount_info{") } ?? ""
        #expect(info.contains(#",accelerated="yes",reason="","#))
    }

    /// What its daemon counted last says nothing about now.
    @Test func ofADeadMount() throws {
        words[1] = 7
        let state = CounterFixture.state(ProcessIdentity(pid: 1, startTime: 0))
        var told: [String] = []
        let metrics = MountMetrics(state, runtime, complaint: nil) { told.append($0) }
        #expect(metrics.down == "its daemon is gone")
        #expect(told.isEmpty)
        let lines = lines(metrics)
        #expect(lines.contains(#"shortfuse_up{mount="/nowhere"} 0"#))
        #expect(!lines.contains { $0.hasPrefix("shortfuse_daemon_requests_total{") })
        #expect(!lines.contains { $0.hasPrefix("shortfuse_daemon_resident_memory_bytes{") })
    }

    /// Its maps cannot be read: still it is shown, and that too.
    @Test func ofAnUnreadableMount() throws {
        var state = CounterFixture.state()
        state.accelerated = true
        state.pins = "/no/such/pins"
        var told: [String] = []
        let metrics = MountMetrics(state, runtime, complaint: nil) { told.append($0) }
        #expect(told.count == 1)
        let lines = lines(metrics, unreadable: 2)
        #expect(lines.contains(#"shortfuse_readable{mount="/nowhere"} 0"#))
        #expect(lines.contains("shortfuse_unreadable_mounts 2"))
        #expect(!lines.contains { $0.hasPrefix("shortfuse_mount_info{") })
    }

    @Test func eachFamilyOnceAndTogether() throws {
        let report = try MountReport(CounterFixture.state(), runtime: runtime)
        let lines = lines(
            MountMetrics(mountpoint: "/a", down: nil, report: report),
            MountMetrics(mountpoint: Path(bytes: Array("/\"\\".utf8) + [0xFF]), down: "gone"))
        let families = lines.filter { $0.hasPrefix("# TYPE ") }.map { $0.split(separator: " ")[2] }
        #expect(Set(families).count == families.count)
        var current: Substring = ""
        for line in lines where !line.hasPrefix("# HELP ") {
            if line.hasPrefix("# TYPE ") {
                current = line.split(separator: " ")[2]
            } else {
                #expect(line.hasPrefix(current), "\(line)")
            }
        }
        // As status prints it, and then by the rules for labels.
        #expect(lines.contains(#"shortfuse_up{mount="/\"\\\\\\xff"} 0"#))
    }
}
