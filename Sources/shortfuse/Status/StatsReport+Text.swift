extension StatsReport {
    /// For people.
    /// - Parameter withRates: also where there are none yet, so that the columns stay in place.
    func lines(withRates: Bool) -> [String] {
        var lines = head + requestTable(withRates: withRates).lines
        if !mapNames.isEmpty { lines += [""] + mapTable.lines }
        return lines + [""] + latencyTable.lines
    }

    private func requestTable(withRates: Bool) -> TextTable {
        var table = TextTable(nameWidth: 12, cellWidth: 9)
        var columns =
            accelerated ? ["answered", "passed", "refused", "daemon", "hit %"] : ["daemon"]
        if withRates { columns += accelerated ? ["answered/s", "daemon/s"] : ["daemon/s"] }
        table.add("request", columns)
        func add(_ name: String, _ figures: RequestFigures, _ rates: RequestRates?) {
            let daemon = String(figures.daemon)
            var cells =
                accelerated
                ? [
                    String(figures.answered), String(figures.passed), String(figures.refused),
                    daemon, figures.hitRatio.map { Figures.fixed($0 * 100, 1) } ?? "-",
                ] : [daemon]
            if withRates {
                let shown = accelerated ? [rates?.answered, rates?.daemon] : [rates?.daemon]
                cells += shown.map { $0.map { Figures.fixed($0, 0) } ?? "-" }
            }
            table.add(name, cells)
        }
        for (name, figures) in requests.sorted(by: { $0.key < $1.key }) {
            add(name, figures, interval?.requests[name])
        }
        add("total", total, interval?.total)
        return table
    }

    private var mapTable: TextTable {
        var table = TextTable(nameWidth: 12, cellWidth: 9)
        table.add("map", ["entries", "capacity", "bytes", "reserved", "evictions"])
        for name in mapNames {
            guard let map = maps[name] else { continue }
            table.add(
                name,
                [
                    String(map.entries), String(map.capacity), Figures.bytes(map.bytes),
                    Figures.bytes(map.capacityBytes), map.evictions.map { String($0) } ?? "-",
                ])
        }
        return table
    }

    private var latencyTable: TextTable {
        var table = TextTable(nameWidth: 12, cellWidth: 9)
        table.add("daemon time", ["requests", "mean", "p50", "p90", "p99", "p99.9", "max"])
        func add(_ name: String, _ latency: LatencySummary) {
            let times = [
                latency.mean, latency.p50, latency.p90, latency.p99, latency.p999, latency.max,
            ]
            table.add(
                name,
                [String(latency.count)]
                    + times.map { latency.count > 0 ? Figures.duration(nanoseconds: $0) : "-" })
        }
        add("since mount", latency)
        if let interval { add("last \(Figures.fixed(interval.seconds, 1)) s", interval.latency) }
        return table
    }
}
