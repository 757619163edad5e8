import Glibc
import MountRegistry
import Syscall

/// Small programs of the system, run for what they print.
enum Tool {
    /// Also where the PATH of a user or of a service lacks them.
    private static let systemDirectories = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"]

    static func path(_ name: String) -> String? {
        let search = getenv("PATH").map { String(cString: $0) } ?? ""
        let directories = search.split(separator: ":").map(String.init) + systemDirectories
        return directories.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    /// What it writes to standard output, trimmed. Nil if it is not there or fails.
    static func output(_ name: String, _ arguments: [String]) -> String? {
        guard let (text, status) = run(name, arguments, reading: STDOUT_FILENO), status == 0 else {
            return nil
        }
        return text
    }

    /// What it writes to standard error, trimmed, and its wait status. Nil if it cannot be started.
    ///
    /// - Parameter arguments: as in `Arguments`.
    static func complaint(_ name: String, _ arguments: [String]) -> (text: String, status: CInt)? {
        run(name, arguments, reading: STDERR_FILENO)
    }

    /// With one of its streams read to the end, the other standard ones being /dev/null.
    private static func run(
        _ name: String, _ arguments: [String], reading stream: CInt
    ) -> (text: String, status: CInt)? {
        guard let path = path(name), let ends = pipe() else { return nil }
        var spawn = Spawn()
        spawn.pass(ends.write, as: stream)
        for other in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where other != stream {
            spawn.openNull(other)
        }
        let pid = spawn.run(path, [name] + arguments)
        close(ends.write)
        defer { close(ends.read) }
        guard let pid else { return nil }
        var bytes: [UInt8] = []
        readAll(ends.read, into: &bytes)
        return (trimmed(String(decoding: bytes, as: UTF8.self)), wait(for: pid))
    }

    /// Both ends are closed in programs that are started later.
    static func pipe() -> (read: CInt, write: CInt)? {
        var ends: [CInt] = [-1, -1]
        guard Glibc.pipe(&ends) == 0 else { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        return (ends[0], ends[1])
    }

    /// Reads until the end of the pipe.
    static func readAll(_ descriptor: CInt, into bytes: inout [UInt8]) {
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count > 0 {
                bytes += chunk[..<count]
            } else if count == 0 || errno != EINTR {
                return
            }
        }
    }

    /// The wait status of a child.
    static func wait(for pid: pid_t) -> CInt {
        var status: CInt = 0
        while waitpid(pid, &status, 0) < 0, errno == EINTR {}
        return status
    }
}

/// posix_spawn, with its tables freed.
struct Spawn: ~Copyable {
    private var actions = posix_spawn_file_actions_t()

    init() {
        posix_spawn_file_actions_init(&actions)
    }

    deinit {
        var actions = actions
        posix_spawn_file_actions_destroy(&actions)
    }

    mutating func pass(_ descriptor: CInt, as number: CInt) {
        posix_spawn_file_actions_adddup2(&actions, descriptor, number)
    }

    mutating func openNull(_ stream: CInt) {
        posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0)
    }

    /// The program gets none of this process's descriptors from `first` on.
    mutating func closeAll(from first: CInt) {
        Syscall.closeAll(from: first, in: &actions)
    }

    /// Starts this program again.
    mutating func runAgain(_ arguments: [String]) -> pid_t? {
        run("/proc/self/exe", [Arguments.program] + arguments)
    }

    /// Starts `path`, with this process's environment. Nil, with errno set, if that fails.
    ///
    /// - Parameter arguments: as in `Arguments`.
    mutating func run(_ path: String, _ arguments: [String]) -> pid_t? {
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map {
            strdup(Path(argument: $0).cString)
        }
        argv.append(nil)
        defer {
            for word in argv { free(word) }
        }
        var pid: pid_t = 0
        let result = posix_spawn(&pid, path, &actions, nil, argv, environ)
        guard result == 0 else {
            errno = result
            return nil
        }
        return pid
    }
}
