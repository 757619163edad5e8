import ArgumentParser
import Glibc
import MountRegistry
import SystemPackage

/// Asks a mount for one answer, in a process of its own: while the mount does not answer, nothing
/// ends that process, and whoever waits for it can still go on.
struct Ask: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Waits until the mount at MOUNTPOINT answers.", shouldDisplay: false)

    @Flag(help: "By statvfs(2), which the kernel's own caches cannot answer.")
    var statistics = false

    @Argument(help: "Where it is mounted.")
    var mountpoint: Path

    func run() throws {
        guard statistics ? hasStatistics : hasAttributes else {
            print("\(Errno.last)")
            throw ExitCode.failure
        }
    }

    private var hasAttributes: Bool {
        var found = stat()
        return stat(mountpoint.cString, &found) == 0
    }

    /// To refuse is an answer, too.
    private var hasStatistics: Bool {
        var found = statvfs()
        return statvfs(mountpoint.cString, &found) == 0 || errno == EACCES || errno == EPERM
    }
}

/// A running `Ask`.
struct Question: ~Copyable {
    private let pid: pid_t
    /// At its end when the mount has answered.
    let output: CInt

    /// Nil, with errno set, if no process can be started.
    /// - Parameter kind: options of `Ask`.
    init?(_ mountpoint: Path, kind: [String] = []) {
        guard let ends = Tool.pipe() else { return nil }
        var spawn = Spawn()
        spawn.pass(ends.write, as: STDOUT_FILENO)
        spawn.openNull(STDIN_FILENO)
        spawn.openNull(STDERR_FILENO)
        // It may outlive this process, and must not keep anything of it open.
        spawn.closeAll(from: STDERR_FILENO + 1)
        let pid = spawn.runAgain(["ask"] + kind + ["--", mountpoint.argument])
        let error = errno
        close(ends.write)
        guard let pid else {
            close(ends.read)
            errno = error
            return nil
        }
        self.pid = pid
        output = ends.read
    }

    deinit {
        close(output)
    }

    /// Waits for the answer. Nil if it is good, else in what words it is not.
    func complaint() -> String? {
        var bytes: [UInt8] = []
        Tool.readAll(output, into: &bytes)
        guard Tool.wait(for: pid) != 0 else { return nil }
        let text = trimmed(String(decoding: bytes, as: UTF8.self))
        return text.isEmpty ? "the asking process failed" : text
    }

    /// Lets go of it: it ends as soon as the mount answers or is gone.
    func abandon() {
        kill(pid, SIGKILL)
    }
}
