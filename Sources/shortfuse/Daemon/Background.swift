import ArgumentParser
import Glibc
import MountRegistry
import SystemPackage

/// Runs the daemon in the background: this program again, in a session of its own.
///
/// A fork would not do: Swift may have made threads already, and a forked child has only one.
enum Background {
    /// How long a mount has for its first answer.
    private static let patience = Duration.seconds(30)

    /// Starts the daemon and returns once its mount answers.
    ///
    /// - Parameters:
    ///   - arguments: the command line for the daemon, given where it reports.
    ///   - isQuiet: the line for the user stays in the daemon's log.
    static func start(
        arguments: (_ readyDescriptor: CInt) -> [String], isQuiet: Bool
    ) throws {
        guard let ends = Line.pair() else { throw Failure("mount: no socket: \(Errno.last)") }
        var spawn = Spawn()
        spawn.openNull(STDIN_FILENO)
        spawn.pass(ends.daemon.descriptor, as: readyDescriptor)
        // What the caller has open would stay open as long as the mount.
        spawn.closeAll(from: readyDescriptor + 1)
        let pid = spawn.runAgain(arguments(readyDescriptor))
        let error = Errno.last
        ends.daemon.close()
        guard let pid else { throw Failure("mount: cannot start the daemon: \(error)") }
        var word = ends.parent.receive()
        if case .mounted(let mountpoint) = word {
            word = try ask(mountpoint, for: ends.parent)
        }
        try finish(word, pid: pid, isQuiet: isQuiet)
    }

    /// Not one of the standard streams, and free: nothing has been opened yet that the daemon gets.
    private static let readyDescriptor: CInt = 3

    /// Asks the mount, which the daemon must not do itself.
    ///
    /// - Returns: the daemon's last word.
    private static func ask(_ mountpoint: Path, for line: Line) throws(Failure) -> Word? {
        guard let question = Question(mountpoint) else {
            throw giveUp(line, Failure("\(mountpoint): cannot ask the mount: \(Errno.last)"))
        }
        switch firstReadable([line.descriptor, question.output], within: patience) {
        case line.descriptor:
            // The daemon has ended, or is about to.
            question.abandon()
            return line.receive()
        case question.output:
            guard let complaint = question.complaint() else {
                _ = line.send(.answered)
                return line.receive()
            }
            // If the mount is gone, the daemon knows why.
            if firstReadable([line.descriptor], within: .seconds(1)) != nil {
                return line.receive()
            }
            throw giveUp(
                line, Failure("\(mountpoint): the mount answers: \(complaint); check SOURCE"))
        default:
            question.abandon()
            throw giveUp(
                line,
                Failure(
                    "\(mountpoint): the mount has not answered for \(patience); "
                        + "see whether SOURCE answers"))
        }
    }

    /// Has the daemon unmount, waits a while for that, and returns `failure`.
    private static func giveUp(_ line: Line, _ failure: Failure) -> Failure {
        line.stopSending()
        _ = firstReadable([line.descriptor], within: .seconds(5))
        return failure
    }

    /// The first of `descriptors` with something to read or at its end; nil if the time is over.
    private static func firstReadable(_ descriptors: [CInt], within limit: Duration) -> CInt? {
        let clock = ContinuousClock()
        let end = clock.now + limit
        var polled = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        while true {
            let left = max(clock.now.duration(to: end), .zero)
            let milliseconds = CInt(left.components.seconds) * 1000 + 1000
            let count = poll(&polled, nfds_t(polled.count), left == .zero ? 0 : milliseconds)
            if count > 0 { return polled.first { $0.revents != 0 }?.fd }
            guard left > .zero else { return nil }
        }
    }

    private static func finish(_ word: Word?, pid: pid_t, isQuiet: Bool) throws {
        switch word {
        case .ready(let text):
            if !isQuiet { print(text) }
        case .failed(let text):
            _ = Tool.wait(for: pid)
            throw Failure(text)
        default:
            let status = Tool.wait(for: pid)
            let how = status & 0x7f == 0 ? "exit \(status >> 8 & 0xff)" : "signal \(status & 0x7f)"
            throw Failure("mount: the daemon ended early (\(how)); try again with --foreground")
        }
    }
}
