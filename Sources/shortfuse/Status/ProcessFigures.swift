import Glibc
import MountRegistry

/// What a process uses, from /proc.
struct ProcessFigures: Equatable {
    let residentBytes: UInt64
    let cpuSeconds: Double

    /// Nil if the process has ended.
    init?(_ process: ProcessIdentity) {
        guard let stat = try? Files.read("/proc/\(process.pid)/stat"),
            let memory = try? Files.read("/proc/\(process.pid)/statm"),
            // Not another one's with the same number.
            ProcessIdentity.parseStartTime(stat) == process.startTime
        else { return nil }
        self.init(
            stat: stat, memory: memory, pageBytes: UInt64(max(sysconf(CInt(_SC_PAGESIZE)), 0)),
            ticksPerSecond: Double(max(sysconf(CInt(_SC_CLK_TCK)), 1)))
    }

    /// - Parameters:
    ///   - stat: /proc/PID/stat, where the name, in parentheses, may hold anything.
    ///   - memory: /proc/PID/statm.
    init?(stat: [UInt8], memory: [UInt8], pageBytes: UInt64, ticksPerSecond: Double) {
        guard let end = stat.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let times = Self.numbers(stat[(end + 1)...])
        let pages = Self.numbers(memory[...])
        // Without pid and name: utime and stime are the fields 14 and 15.
        guard times.count > 12, let user = times[11], let system = times[12],
            pages.count > 1, let resident = pages[1]
        else { return nil }
        residentBytes = resident * pageBytes
        cpuSeconds = Double(user + system) / ticksPerSecond
    }

    private static func numbers(_ text: ArraySlice<UInt8>) -> [UInt64?] {
        text.split(separator: UInt8(ascii: " ")).map { UInt64(String(decoding: $0, as: UTF8.self)) }
    }
}
