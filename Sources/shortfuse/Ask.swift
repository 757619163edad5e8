import ArgumentParser
import Glibc
import SystemPackage

/// Asks a mount for one answer, in a process of its own: while the mount does not answer, nothing
/// ends that process, and whoever waits for it can still go on.
struct Ask: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Waits until the mount at MOUNTPOINT answers.", shouldDisplay: false)

    @Argument(help: "Where it is mounted.")
    var mountpoint: Path

    func run() throws {
        var found = stat()
        guard stat(mountpoint.cString, &found) == 0 else {
            print("\(Errno.last)")
            throw ExitCode.failure
        }
    }
}

/// A running `Ask`.
struct Question: ~Copyable {
    private let pid: pid_t
    /// At its end when the mount has answered.
    let output: CInt

    /// Nil, with errno set, if no process can be started.
    init?(_ mountpoint: Path) {
        guard let ends = Tool.pipe() else { return nil }
        var spawn = Spawn()
        spawn.pass(ends.write, as: STDOUT_FILENO)
        spawn.openNull(STDIN_FILENO)
        spawn.openNull(STDERR_FILENO)
        let pid = spawn.runAgain(["ask", "--", mountpoint.argument])
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
