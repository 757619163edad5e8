import CLinux
import Glibc
import SystemPackage

extension Syscall {
    /// Raises `RLIMIT_NOFILE` as far as possible: to fs.nr_open with `CAP_SYS_RESOURCE`, otherwise
    /// to the hard limit.
    /// - Returns: the new soft limit.
    @discardableResult
    public static func raiseOpenFileLimit() -> UInt64 {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        let ceiling = openFileCeiling()
        if ceiling > limit.rlim_max {
            var raised = rlimit(rlim_cur: ceiling, rlim_max: ceiling)
            if setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0 {
                return UInt64(ceiling)
            }
        }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return UInt64(limit.rlim_cur)
    }

    /// getpriority(2) of the calling thread: 0 to most programs, lower runs before others.
    public static func niceness() -> Int32 {
        getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)
    }

    /// Processors that are online, at least 1: sysconf(3).
    public static var processorCount: Int { max(sysconf(CInt(_SC_NPROCESSORS_ONLN)), 1) }

    /// setpriority(2) of the calling thread, and of those that it then starts. Without permission
    /// (`CAP_SYS_NICE` to lower it) nothing changes.
    public static func setNiceness(_ value: Int32) {
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, value)
    }

    /// getcwd(3).
    public static func workingDirectory() throws(Errno) -> FilePath {
        guard let path = getcwd(nil, 0) else { throw Errno(rawValue: errno) }
        defer { free(path) }
        return FilePath(platformString: path)
    }

    /// A process that posix_spawn(3) starts with `actions` gets no descriptor from `first` on.
    public static func closeAll(
        from first: CInt, in actions: inout posix_spawn_file_actions_t
    ) {
        _ = linux_spawn_close_from(&actions, first)
    }

    /// Lifts inherited limits on the size of files and on processor time: a service must not be
    /// subject to the limits of the process that started it, and exceeding either would kill it.
    /// Without `CAP_SYS_RESOURCE` they are raised to the hard limits, and a write beyond that
    /// fails.
    public static func liftInheritedLimits() {
        signal(SIGXFSZ, SIG_IGN)
        for resource in [RLIMIT_FSIZE, RLIMIT_CPU] {
            let number = __rlimit_resource_t(resource.rawValue)
            var limit = rlimit(rlim_cur: rlim_t.max, rlim_max: rlim_t.max)
            if setrlimit(number, &limit) == 0 { continue }
            guard getrlimit(number, &limit) == 0 else { continue }
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(number, &limit)
        }
    }

    /// fs.nr_open, the maximum for the limit of open files; its default if /proc does not have it.
    private static func openFileCeiling() -> rlim_t {
        let unknown: rlim_t = 1 << 20
        guard let fd = try? open("/proc/sys/fs/nr_open", flags: O_RDONLY) else { return unknown }
        defer { close(fd) }
        return withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { text in
            guard let count = try? read(fd, at: 0, into: text) else { return unknown }
            let digits = text[..<count].prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
            return rlim_t(String(decoding: digits, as: UTF8.self)) ?? unknown
        }
    }

    /// Runs a function on the calling thread as a file system user, who owns what it creates.
    ///
    /// - Parameters:
    ///   - uid: the file system user: setfsuid(2).
    ///   - gid: the file system group: setfsgid(2).
    ///   - capabilities: the effective set for `body`. setfsuid(2) removes the file system
    ///     capabilities, which the daemon needs because it checks no permissions itself.
    ///   - before: the effective set afterwards.
    ///   - body: runs with these ids and capabilities. Afterwards the thread has the process's
    ///     effective ids again.
    /// - Throws: `EPERM` if the process may not change ids, otherwise what `body` throws.
    @inlinable
    public static func withFileSystemIDs<R>(
        uid: uid_t, gid: gid_t, capabilities: CapabilitySet, restoring before: CapabilitySet,
        _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        // Each may have taken effect even if the other failed, so always restore both.
        defer {
            linux_reset_fs_ids(geteuid(), getegid())
            _ = linux_set_effective_capabilities(before.rawValue)
        }
        guard linux_set_fs_ids(uid, gid) == 0 else { throw .notPermitted }
        try check { linux_set_effective_capabilities(capabilities.rawValue) }
        return try body()
    }

    /// The process's supplementary groups: getgroups(2).
    public static func supplementaryGroups() -> [gid_t] {
        let count = getgroups(0, nil)
        guard count > 0 else { return [] }
        return Array(unsafeUninitializedCapacity: Int(count)) { groups, used in
            used = Int(max(0, getgroups(count, groups.baseAddress)))
        }
    }

    /// Runs a function on the calling thread without supplementary groups.
    /// - Parameters:
    ///   - groups: the thread's groups afterwards.
    ///   - body: runs without any.
    /// - Throws: `EPERM` if the process may not change ids, otherwise what `body` throws.
    public static func withoutSupplementaryGroups<R>(
        restoring groups: [gid_t], _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        try check { linux_set_thread_groups(0, nil) }
        defer { _ = linux_set_thread_groups(groups.count, groups) }
        return try body()
    }

    /// Sets the umask of only the calling thread: umask(2), after unshare(2) with `CLONE_FS`, which
    /// also gives the thread a separate working directory. Threads that it starts share both
    /// with it.
    @inlinable
    public static func setThreadMask(_ mask: mode_t) throws(Errno) {
        try check { linux_set_thread_umask(mask) }
    }

    /// Sets the name of the calling thread, or of a process with one thread, for ps(1); up to 15
    /// bytes.
    public static func nameProcess(_ name: String) { linux_name_thread(name) }

    /// The version of the running kernel: uname(2).
    public static var kernelVersion: (major: Int, minor: Int) {
        var names = utsname()
        guard uname(&names) == 0 else { return (0, 0) }
        let release = withUnsafeBytes(of: names.release) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        let numbers = release.split { !("0"..."9" ~= $0) }.prefix(2).map { Int($0) ?? 0 }
        return (numbers.first ?? 0, numbers.count > 1 ? numbers[1] : 0)
    }

    /// CLOCK_MONOTONIC in nanoseconds, which the C library reads without a system call.
    @inlinable @inline(__always)
    public static func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000
            &+ UInt64(truncatingIfNeeded: time.tv_nsec)
    }

    /// A page-aligned buffer that the calling thread keeps and reuses: valid until the same thread
    /// requests the same `slot` again.
    /// - Parameters:
    ///   - slot: 0 or 1.
    ///   - size: bytes.
    /// - Throws: `ENOMEM`.
    @inlinable
    public static func threadBuffer(
        slot: UInt32, size: Int
    ) throws(Errno) -> UnsafeMutableRawBufferPointer {
        guard size >= 0, let memory = linux_thread_buffer(slot, size) else { throw .noMemory }
        return UnsafeMutableRawBufferPointer(start: memory, count: size)
    }

    /// The size of the terminal `fd`, in characters; 0 by 0 if unknown.
    /// - Throws: `ENOTTY` if it is not a terminal.
    public static func terminalSize(
        _ fd: FileDescriptor
    ) throws(Errno) -> (rows: Int, columns: Int) {
        var rows: UInt16 = 0
        var columns: UInt16 = 0
        try check { linux_terminal_size(fd.rawValue, &rows, &columns) }
        return (Int(rows), Int(columns))
    }

    /// Blocks `signals` in the calling thread and in threads that it starts, and makes a descriptor
    /// that is readable when one is pending (signalfd(2)).
    public static func makeSignalDescriptor(_ signals: [CInt]) throws(Errno) -> FileDescriptor {
        var set = sigset_t()
        sigemptyset(&set)
        for number in signals { sigaddset(&set, number) }
        sigprocmask(SIG_BLOCK, &set, nil)
        let flags = CInt(SFD_CLOEXEC)
        return FileDescriptor(rawValue: try retrying { signalfd(-1, &set, flags) })
    }
}
