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

    /// Gives up, for good, all capabilities of the calling thread but `kept`, and sets no_new_privs
    /// (prctl(2)): what it starts from now on has no others, whatever program that is. Other threads
    /// keep theirs, so this is for a process of one.
    /// - Returns: those that it has now; never more than before.
    public static func limitCapabilities(to kept: CapabilitySet) throws(Errno) -> CapabilitySet {
        var permitted: UInt64 = 0
        try check { linux_limit_capabilities(kept.rawValue, &permitted) }
        return CapabilitySet(rawValue: permitted)
    }

    /// How many threads this process has.
    public static func threadCount() throws(Errno) -> Int {
        // Each is a directory in there, and a link of it.
        var found = stat()
        try check { stat("/proc/self/task", &found) }
        return Int(found.st_nlink) - 2
    }
}
