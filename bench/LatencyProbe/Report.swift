import Glibc

/// What one subject showed for one operation.
struct Row {
    let operation: String
    let subject: String
    let p50: UInt64
    let p99: UInt64
    /// A round's calls together, median of the rounds.
    let pass: UInt64
    let operations: UInt64
    /// Nil: not counted.
    let daemonRequests: UInt64?
}

struct Report {
    let kernel: String
    /// The subject that ratios refer to.
    let reference: String
    let rows: [Row]

    func table() -> String {
        var lines = [
            [
                "operation", "subject", "p50 µs", "p99 µs", "p50/\(reference)", "pass ms",
                "daemon requests", "per call",
            ]
        ]
        var operation = ""
        for row in rows {
            lines.append([
                row.operation == operation ? "" : row.operation, row.subject,
                decimals(Double(row.p50) / 1000), decimals(Double(row.p99) / 1000),
                ratio(row), decimals(Double(row.pass) / 1_000_000),
                row.daemonRequests.map { String($0) } ?? "-",
                row.daemonRequests.map { decimals(Double($0) / Double(row.operations)) } ?? "-",
            ])
            operation = row.operation
        }
        return layOut(lines)
    }

    private func ratio(_ row: Row) -> String {
        let base = rows.first { $0.operation == row.operation && $0.subject == reference }
        guard let base, base.p50 > 0 else { return "" }
        return decimals(Double(row.p50) / Double(base.p50))
    }

    /// Columns as wide as their widest cell; the first two are words, the rest figures.
    private func layOut(_ lines: [[String]]) -> String {
        let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            line.indices.map { column in
                let padding = String(repeating: " ", count: widths[column] - line[column].count)
                return column < 2 ? line[column] + padding : padding + line[column]
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }

    func writeJSON(to path: String) throws {
        guard let file = fopen(path, "w") else { throw ProbeError(errnoOf: path) }
        let isWritten = fputs(json(), file) >= 0
        guard fclose(file) == 0, isWritten else { throw ProbeError(errnoOf: path) }
    }

    /// Written by hand for the order of its fields and to start without Foundation; no name in it
    /// needs escaping (see SubjectArgument).
    private func json() -> String {
        let objects = rows.map { row in
            """
                {"operation": "\(row.operation)", "subject": "\(row.subject)", \
            "p50_ns": \(row.p50), "p99_ns": \(row.p99), "pass_ns": \(row.pass), \
            "operations": \(row.operations), "daemon_requests": \(row.daemonRequests.map { String($0) } ?? "null")}
            """
        }
        return """
            {"kernel": "\(kernel)", "rows": [
            \(objects.joined(separator: ",\n"))
            ]}

            """
    }
}

/// Two decimals, without Foundation.
private func decimals(_ value: Double) -> String {
    let hundredths = Int((value * 100).rounded())
    let rest = hundredths % 100
    return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
}
