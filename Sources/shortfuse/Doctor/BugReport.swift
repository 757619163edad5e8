import Glibc
import MountRegistry
import Syscall

/// What `doctor --report` writes: all that a report of a bug needs. Paths, and the names of files, are
/// left out: who reads it learns nothing of what SOURCE has.
struct BugReport: Encodable {
    struct Mount: Encodable {
        var status: MountReport
        /// The type of SOURCE's file system.
        var sourceType: String?
        /// The end of the daemon's log.
        var log: [String]

        enum CodingKeys: String, CodingKey {
            case status, log
            case sourceType = "source_type"
        }
    }

    let version = Shortfuse.version
    let moduleVersion: String?
    let created = MountState.timestamp(time(nil))
    let system: String?
    let processors = Syscall.processorCount
    let memory: String?
    let doctor: DoctorReport
    let mounts: [Mount]

    enum CodingKeys: String, CodingKey {
        case version, created, system, processors, memory, doctor, mounts
        case moduleVersion = "module_version"
    }

    init(facts: SystemFacts) throws(Failure) {
        moduleVersion = facts.moduleVersion
        system = Self.value(of: "PRETTY_NAME=", in: "/etc/os-release")
        memory = Self.value(of: "MemTotal:", in: "/proc/meminfo")
        doctor = DoctorReport(kernel: facts.release, checks: facts.checks)
        var mounts: [Mount] = []
        for (state, runtime) in try KnownMounts.all() {
            mounts.append(
                Self.masked(
                    Mount(
                        status: try MountReport(state, runtime: runtime),
                        sourceType: SourceType(state.source)?.name,
                        log: Self.logEnd(runtime.logPath))))
        }
        self.mounts = mounts
    }

    private static func logEnd(_ path: Path) -> [String] {
        let lines = (Files.text(path) ?? "").split(separator: "\n")
        return lines.suffix(100).map { printable(Array($0.utf8)) }
    }

    private static func value(of key: String, in path: Path) -> String? {
        (Files.text(path) ?? "").split(separator: "\n").first { $0.hasPrefix(key) }
            .map { trimmed(String($0.dropFirst(key.count)).replacing("\"", with: "")) }
    }

    // MARK: Names

    static func masked(_ mount: Mount) -> Mount {
        let status = mount.status
        // The name of a runtime directory is made of the mount point.
        let name = RuntimeDirectory(mountpoint: status.mountpoint).name
        let words = [
            ("\(status.source)", "SOURCE"), ("\(status.mountpoint)", "MOUNTPOINT"),
            ("\(name)", "MOUNT"),
        ].filter { $0.0 != "/" }.sorted { $0.0.utf8.count > $1.0.utf8.count }
        func masked(_ text: String) -> String {
            withoutName(words.reduce(text) { $0.replacing($1.0, with: $1.1) })
        }
        var copy = mount
        copy.log = mount.log.map(masked)
        copy.status.reason = status.reason.map(masked)
        copy.status.kernelCacheReason = status.kernelCacheReason.map(masked)
        copy.status.pins = masked(status.pins)
        copy.status.requestsFile = Path(masked("\(status.requestsFile)"))
        copy.status.source = "SOURCE"
        copy.status.mountpoint = "MOUNTPOINT"
        copy.status.options = status.options.map { option in
            // Texts that the user chose.
            for key in ["fsname=", "comment=", "x-", "X-"] where option.hasPrefix(key) {
                return key + "…"
            }
            return masked(option)
        }
        return copy
    }

    /// A line of `verify` names what differs.
    static func withoutName(_ line: String) -> String {
        guard let start = line.firstRange(of: "name '"),
            let end = line[start.upperBound...].ranges(of: "' in node").last
        else { return line }
        return line[..<start.upperBound] + "…" + line[end.lowerBound...]
    }
}
