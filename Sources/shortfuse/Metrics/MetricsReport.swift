import FuseSession
import KernelCache
import MountRegistry

/// All that `metrics` tells, in the text format.
struct MetricsReport {
    /// Who reads them knows a mount by this, as `status` prints it.
    private struct Shown {
        let metrics: MountMetrics
        let label: (String, String)
    }

    private let mounts: [Shown]
    private var out = PrometheusText()

    /// - Parameters:
    ///   - mounts: each with another mount point.
    ///   - unreadable: states of mounts that nothing is known of.
    static func text(_ mounts: [MountMetrics], unreadable: Int = 0) -> String {
        var report = MetricsReport(mounts)
        report.writeExporter(unreadable)
        report.writeMounts()
        report.writeRequests()
        report.writeMaps()
        report.writeSource()
        report.writeKept()
        report.writeDaemon()
        return report.out.text
    }

    private init(_ mounts: [MountMetrics]) {
        self.mounts = mounts.map {
            Shown(metrics: $0, label: ("mount", $0.mountpoint.description))
        }
    }

    private mutating func writeExporter(_ unreadable: Int) {
        out.begin("shortfuse_build_info", .gauge, "The version of the program that tells this.")
        out.sample("shortfuse_build_info", [("version", Shortfuse.version)], 1 as UInt64)
        out.begin(
            "shortfuse_unreadable_mounts", .gauge,
            "Mounts that cannot be shown, because their state cannot be read.")
        out.sample("shortfuse_unreadable_mounts", [], UInt64(unreadable))
    }

    private mutating func writeMounts() {
        gauge("shortfuse_up", "1 if the mount serves and answers; 0 if it is dead or hangs.") {
            $0.down == nil ? 1 : 0
        }
        gauge("shortfuse_readable", "1 if all figures of the mount could be read.") {
            $0.report == nil ? 0 : 1
        }
        gauge("shortfuse_accelerated", "1 if programs in the kernel answer for the mount.") {
            $0.report.map { $0.accelerated ? 1 : 0 }
        }
        gauge("shortfuse_kernel_caches", "1 if the kernel's own caches answer for the mount.") {
            $0.countsDaemon ? $0.report.map { $0.kernelCache ? 1 : 0 } : nil
        }
        let name = "shortfuse_mount_info"
        out.begin(
            name, .gauge,
            "What is mounted; why it is not accelerated, and why the kernel's own caches are not in "
                + "use: both empty if there is no reason.")
        for mount in mounts {
            guard let report = mount.metrics.report else { continue }
            out.sample(
                name,
                [
                    mount.label, ("source", report.source.description),
                    ("type", report.attached == nil ? "mirror" : "attached"),
                    ("version", report.version),
                    ("accelerated", report.accelerated ? "yes" : "no"),
                    ("reason", report.accelerated ? "" : report.reason ?? "not recorded"),
                    (
                        "kernel_cache_reason",
                        report.attached == nil ? report.kernelCacheReason ?? "" : ""
                    ),
                ], 1 as UInt64)
        }
    }

    private mutating func writeRequests() {
        var name = "shortfuse_kernel_requests_total"
        out.begin(
            name, .counter,
            "Requests that programs in the kernel looked at: answered there, passed on to the daemon, "
                + "or refused as not understood and passed on.")
        for mount in mounts {
            guard let report = mount.metrics.report, report.accelerated else { continue }
            let counts = [
                ("answered", report.answered), ("passed", report.passed),
                ("refused", report.refused),
            ]
            // All from the beginning: a rate has no use for a series that begins with its first count.
            let seen = counts.flatMap { $0.1.keys }
            let known = KernelCache.opcodes.map { OpcodeNames.name(Int($0)) }
            for opcode in Set(seen + known).sorted() {
                for (result, count) in counts {
                    out.sample(
                        name, [mount.label, ("opcode", opcode), ("result", result)],
                        count[opcode] ?? 0)
                }
            }
        }
        name = "shortfuse_daemon_requests_total"
        out.begin(name, .counter, "Requests that reached the daemon.")
        for mount in mounts where mount.metrics.countsDaemon {
            guard let report = mount.metrics.report else { continue }
            let known = Opcode.allCases.map { OpcodeNames.name(Int($0.rawValue)) }
            for opcode in Set(known + report.daemonRequests.keys).sorted() {
                out.sample(
                    name, [mount.label, ("opcode", opcode)], report.daemonRequests[opcode] ?? 0)
            }
        }
        name = "shortfuse_daemon_request_duration_seconds"
        out.begin(
            name, .histogram,
            "The daemon's time for a request, from its arrival until the reply is written; without "
                + "INIT, DESTROY and FORGET. The sum is right to 1/32.")
        for mount in mounts where mount.metrics.countsDaemon {
            guard let report = mount.metrics.report else { continue }
            let times = LatencyHistogram(report.counts.latency)
            for bucket in times.buckets {
                out.sample(
                    name + "_bucket",
                    [mount.label, ("le", PrometheusText.number(bucket.atMost))], bucket.count)
            }
            out.sample(name + "_bucket", [mount.label, ("le", "+Inf")], times.count)
            out.sample(name + "_sum", [mount.label], times.sum)
            out.sample(name + "_count", [mount.label], times.count)
        }
    }

    private mutating func writeMaps() {
        map("shortfuse_map_entries", .gauge, "Entries in a map of the cache.") {
            UInt64($0.entries)
        }
        map("shortfuse_map_capacity_entries", .gauge, "As many entries as there can be in a map.") {
            UInt64($0.capacity)
        }
        map("shortfuse_map_bytes", .gauge, "Keys and values of a map's entries.") {
            UInt64($0.bytes)
        }
        map("shortfuse_map_capacity_bytes", .gauge, "Keys and values of a full map.") {
            UInt64($0.capacityBytes)
        }
        map(
            "shortfuse_map_evictions_total", .counter,
            "Entries that gave way to others; of maps that the kernel evicts from it is not known."
        ) { map, report in map.evictions.map { report.counts[$0] } }
    }

    private mutating func writeSource() {
        counted("shortfuse_nodes", .gauge, "Files that the daemon keeps for the kernel.") {
            $0.nodes
        }
        counted(
            "shortfuse_source_changes_total", .counter,
            "Changes that others made in the source, as far as they were told."
        ) { $0.sourceChanges }
        counted(
            "shortfuse_source_overflows_total", .counter,
            "How often changes were too many to be told, and everything was dropped."
        ) { $0.sourceOverflows }
        counted(
            "shortfuse_verified_entries_total", .counter,
            "Cached entries that were compared with the source."
        ) { $0.verified }
        counted(
            "shortfuse_different_entries_total", .counter,
            "Cached entries that were not as the source: should stay 0."
        ) { $0.differences }
    }

    private mutating func writeKept() {
        gauge(
            "shortfuse_kept_open_files",
            "Of an attached mount: files and directories that were closed and that its daemon still "
                + "has open."
        ) { $0.report?.kept?.handles }
        gauge(
            "shortfuse_uncounted_lookups",
            "Of an attached mount: lookups of the kernel's that its daemon has not counted."
        ) { $0.report?.kept?.lookups }
    }

    private mutating func writeDaemon() {
        gauge("shortfuse_daemon_resident_memory_bytes", "The daemon's memory.") {
            $0.process?.residentBytes
        }
        let name = "shortfuse_daemon_cpu_seconds_total"
        out.begin(name, .counter, "The daemon's processor time, user and system.")
        for mount in mounts {
            guard let process = mount.metrics.process else { continue }
            out.sample(name, [mount.label], process.cpuSeconds)
        }
    }

    // MARK: Families

    private mutating func gauge(
        _ name: String, _ help: String, _ value: (MountMetrics) -> UInt64?
    ) {
        out.begin(name, .gauge, help)
        for mount in mounts {
            if let value = value(mount.metrics) { out.sample(name, [mount.label], value) }
        }
    }

    /// What a daemon of ours counts.
    private mutating func counted(
        _ name: String, _ kind: PrometheusText.Kind, _ help: String,
        _ value: (MountReport) -> UInt64
    ) {
        out.begin(name, kind, help)
        for mount in mounts where mount.metrics.countsDaemon {
            if let report = mount.metrics.report {
                out.sample(name, [mount.label], value(report))
            }
        }
    }

    private mutating func map(
        _ name: String, _ kind: PrometheusText.Kind, _ help: String,
        _ value: (MapUsage, MountReport) -> UInt64?
    ) {
        out.begin(name, kind, help)
        for mount in mounts {
            guard let report = mount.metrics.report else { continue }
            for map in mount.metrics.maps {
                if let value = value(map, report) {
                    out.sample(name, [mount.label, ("map", map.name)], value)
                }
            }
        }
    }

    private mutating func map(
        _ name: String, _ kind: PrometheusText.Kind, _ help: String, _ value: (MapUsage) -> UInt64
    ) {
        map(name, kind, help) { map, _ in value(map) }
    }
}
