import Glibc

/// A process that is not mistaken for a later one with the same pid.
package struct ProcessIdentity: Codable, Hashable, Sendable {
    package let pid: Int32
    /// Clock ticks from boot to its start, as in /proc/PID/stat.
    package let startTime: UInt64

    package init(pid: Int32, startTime: UInt64) {
        self.pid = pid
        self.startTime = startTime
    }

    package static var current: ProcessIdentity {
        let pid = getpid()
        return ProcessIdentity(pid: pid, startTime: startTime(of: pid) ?? 0)
    }

    /// False once it has exited, also while its parent has not collected it yet.
    package var isAlive: Bool {
        Self.startTime(of: pid) == startTime
    }

    private static func startTime(of pid: Int32) -> UInt64? {
        (try? Files.read("/proc/\(pid)/stat")).flatMap(parseStartTime)
    }

    /// Nil for a zombie. The command's name comes in parentheses and may hold anything.
    package static func parseStartTime(_ stat: [UInt8]) -> UInt64? {
        guard let end = stat.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = stat[(end + 1)...].split(separator: UInt8(ascii: " "))
        guard fields.count > 19, let state = fields[0].first,
            state != UInt8(ascii: "Z"), state != UInt8(ascii: "X")
        else { return nil }
        return UInt64(String(decoding: fields[19], as: UTF8.self))
    }
}
