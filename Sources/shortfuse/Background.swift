import ArgumentParser
import Glibc
import SystemPackage

/// Runs the daemon in the background: this program again, in a session of its own.
///
/// A fork would not do: Swift may have made threads already, and a forked child has only one.
enum Background {
    /// Starts the daemon and returns once its mount answers.
    ///
    /// - Parameter arguments: the command line for the daemon, given where it reports.
    static func start(arguments: (_ readyDescriptor: CInt) -> [String]) throws {
        guard let ends = Tool.pipe() else { throw Failure("mount: no pipe: \(Errno.last)") }
        var spawn = Spawn()
        spawn.openNull(STDIN_FILENO)
        spawn.pass(ends.write, as: readyDescriptor)
        let words = [CommandLine.arguments.first ?? "shortfuse"] + arguments(readyDescriptor)
        let pid = spawn.run("/proc/self/exe", words)
        let error = Errno.last
        close(ends.write)
        guard let pid else { throw Failure("mount: cannot start the daemon: \(error)") }
        var message: [UInt8] = []
        Tool.readAll(ends.read, into: &message)
        try finish(message, pid: pid)
    }

    /// Not one of the standard streams, and free: nothing has been opened yet that the daemon gets.
    private static let readyDescriptor: CInt = 3

    private static func finish(_ message: [UInt8], pid: pid_t) throws {
        let text = String(decoding: message.dropFirst(), as: UTF8.self)
        switch message.first {
        case Herald.success:
            print(text)
        case Herald.failure:
            _ = Tool.wait(for: pid)
            throw Failure(text)
        default:
            let status = Tool.wait(for: pid)
            let how = status & 0x7f == 0 ? "exit \(status >> 8 & 0xff)" : "signal \(status & 0x7f)"
            throw Failure("mount: the daemon ended early (\(how)); try again with --foreground")
        }
    }
}

/// The daemon's word to whoever started it: that the mount answers, or why it does not.
final class Herald {
    static let success = UInt8(ascii: "+")
    static let failure = UInt8(ascii: "-")

    private let descriptor: CInt?
    /// True once anything was told.
    private(set) var hasReported = false

    /// - Parameter descriptor: the pipe to the waiting parent; nil in the foreground.
    init(descriptor: CInt?) {
        self.descriptor = descriptor
        if let descriptor {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            setsid()
        }
    }

    var isInBackground: Bool { descriptor != nil }

    /// False if the parent went away while it waited: the user does not want the mount any more.
    func reportSuccess(_ line: String) -> Bool {
        guard descriptor != nil else {
            hasReported = true
            // Not print(): its buffer may wait until the end of the daemon.
            write(line: line, to: STDOUT_FILENO)
            return true
        }
        return send(Self.success, line)
    }

    /// False if nobody listens here.
    func reportFailure(_ line: String) -> Bool {
        send(Self.failure, line)
    }

    private func send(_ kind: UInt8, _ line: String) -> Bool {
        guard let descriptor, !hasReported else { return false }
        hasReported = true
        defer { close(descriptor) }
        let bytes = [kind] + line.utf8
        // Shorter than PIPE_BUF, or almost: one write does.
        return Glibc.write(descriptor, bytes, bytes.count) == bytes.count
    }
}
