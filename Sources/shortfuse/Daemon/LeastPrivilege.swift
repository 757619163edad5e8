import Logging
import MountRegistry
import Syscall

/// The capabilities that each kind of process keeps of those that it was started with. All others go, for
/// good, before it serves anybody.
///
/// A mirror acts on files for callers whose permission the kernel has checked, so it keeps what acts on
/// files; nothing that concerns networks, devices, clocks, the kernel's code or other processes.
/// SECURITY.md has this table, too.
enum LeastPrivilege {
    /// Each with what it is for.
    private static let mount: [(capability: CapabilitySet, reason: String)] = [
        (.chown, "chown(2) for callers"),
        (.dacOverride, "the kernel has checked the caller; SOURCE must not refuse the daemon"),
        (.dacReadSearch, "open_by_handle_at(2), by which parked files are opened again"),
        (.fowner, "chmod(2), utimensat(2), attributes and O_NOATIME on files of callers"),
        (.fsetid, "set-group-ID bits that the kernel lets a caller keep"),
        (.setgid, "setfsgid(2), setgroups(2): new files belong to the caller's group"),
        (.setuid, "setfsuid(2): new files, and what takes room, belong to the caller"),
        (.linuxImmutable, "chattr +a, +i"),
        (.mknod, "mknod(2) of devices"),
        (.setfcap, "security.capability, which setcap(8) writes"),
        (
            .sysAdmin,
            "umount(2); fanotify of file systems mounted later; trusted.*; noatime on links"
        ),
        (.sysNice, "threads that serve run before others, the watcher's for moments before all"),
        (.sysResource, "reserves and quotas as for user 0, when that is the caller; large pipes"),
    ]

    /// For a mirror.
    static var ofMount: CapabilitySet {
        var kept = CapabilitySet(mount.map(\.capability))
        // The caller's groups, and whether it was killed, are in its /proc/PID/status.
        if hidesProcesses(Files.text("/proc/self/mountinfo") ?? "") { kept.insert(.sysPtrace) }
        return kept
    }

    /// For `attach`, once it is attached: what the kernel answers from needs nothing but open files, and
    /// state and pins belong to user 0.
    static let ofAttachment: CapabilitySet = []

    /// - Parameter mounts: of /proc/self/mountinfo.
    /// - Returns: true if /proc was mounted so that it hides others' processes from user 0 without
    ///   privileges: with hidepid, and for another group than 0, or for nobody (proc(5)).
    static func hidesProcesses(_ mounts: String) -> Bool {
        mounts.split(separator: "\n").contains { line in
            let fields = line.split(separator: " ")
            guard fields.count > 4, fields[4] == "/proc" else { return false }
            let options = fields.last?.split(separator: ",") ?? []
            return options.contains { ["hidepid=ptraceable", "hidepid=4"].contains($0) }
                || options.contains { $0.hasPrefix("hidepid=") }
                    && options.contains { $0.hasPrefix("gid=") }
        }
    }

    /// Gives up all but `kept`. Before there is a second thread, which would keep its own.
    /// - Returns: the names of those that are left, where some had been missing all along.
    static func limit(to kept: CapabilitySet, log: Logger) throws(Failure) -> [String] {
        do {
            let threads = try Syscall.threadCount()
            if threads > 1 {
                log.warning("\(threads - 1) threads were there early, and keep their capabilities")
            }
            return try Syscall.limitCapabilities(to: kept).names
        } catch {
            throw Failure("cannot give up capabilities: \(error); see capabilities(7)")
        }
    }
}
