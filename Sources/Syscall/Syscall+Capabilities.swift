import CLinux
import Glibc
import SystemPackage

extension Syscall {
    /// The calling thread's effective capabilities.
    public static func effectiveCapabilities() throws(Errno) -> CapabilitySet {
        var effective: UInt64 = 0
        try check { linux_effective_capabilities(&effective) }
        return CapabilitySet(rawValue: effective)
    }

    /// Permanently gives up all capabilities of the calling thread except `kept`, and sets
    /// no_new_privs (prctl(2)): no program that it starts gets others. Other threads keep theirs,
    /// so this is for a process with one thread.
    /// - Returns: the capabilities that it now has; never more than before.
    public static func limitCapabilities(to kept: CapabilitySet) throws(Errno) -> CapabilitySet {
        var permitted: UInt64 = 0
        try check { linux_limit_capabilities(kept.rawValue, &permitted) }
        return CapabilitySet(rawValue: permitted)
    }

    /// The number of threads of this process.
    public static func threadCount() throws(Errno) -> Int {
        // Each is a subdirectory, and so a link.
        var found = stat()
        try check { stat("/proc/self/task", &found) }
        return Int(found.st_nlink) - 2
    }
}
