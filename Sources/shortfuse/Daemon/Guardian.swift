import ArgumentParser
import FuseSession
import Glibc
import Logging
import MirrorFS
import Synchronization
import Syscall
import SystemPackage

/// A process beside the daemon that outlives it: the kernel would go on answering from its own caches.
/// It has the kernel drop them, and ends the connection. If it is killed, another one takes its place.
///
/// It waits for the end of a line to the daemon, which the kernel closes however the daemon ends.
final class Guardian: @unchecked Sendable {
    // Safe to share: `replacer` is set before anybody else has the object; the rest is constant or
    // locked.

    /// What each guardian is given.
    private struct Charge: Sendable {
        let mountpoint: Path
        let connection: UInt32
        let device: Descriptor
        let nodes: Descriptor

        /// Starts a guardian, and waits until it is there.
        func hand() throws(Failure) -> Running {
            guard let ends = Line.pair() else {
                throw Failure("\(mountpoint): no socket for the guardian: \(Errno.last)")
            }
            var spawn = Spawn()
            spawn.openNull(STDIN_FILENO)
            spawn.pass(ends.daemon.descriptor, as: Passed.line)
            spawn.pass(device.fd.rawValue, as: Passed.device)
            spawn.pass(nodes.fd.rawValue, as: Passed.nodes)
            let pid = spawn.runAgain(["guard", "--", "\(connection)", mountpoint.argument])
            let error = Errno.last
            ends.daemon.close()
            guard let pid, ends.parent.receive() == .answered else {
                ends.parent.close()
                throw Failure("\(mountpoint): no guardian for the kernel's caches: \(error)")
            }
            return Running(pid: pid, line: ends.parent)
        }
    }

    private struct Running: Sendable {
        let pid: pid_t
        let line: Line

        /// It says nothing more: the line ends when it does.
        func wait() {
            _ = line.receive()
            _ = Tool.wait(for: pid)
        }
    }

    /// Descriptors of the new process: what it gets besides the standard streams.
    fileprivate enum Passed {
        static let line: CInt = 3
        static let device: CInt = 4
        static let nodes: CInt = 5
        static let first: CInt = 6
    }

    private let charge: Charge
    private let log: Logger
    /// Nil when nothing is to be guarded any more.
    private let running: Mutex<Running?>
    private var replacer: Worker?

    /// - Parameters:
    ///   - device: the session's open /dev/fuse.
    ///   - nodes: of the nodes that the kernel may know (`KnownNodes`).
    init(
        mountpoint: Path, device: FileDescriptor, nodes: FileDescriptor, log: Logger
    ) throws(Failure) {
        do throws(Errno) {
            charge = Charge(
                mountpoint: mountpoint,
                connection: Syscall.minor(of: try Syscall.device(of: mountpoint.cString)),
                device: Descriptor(
                    owning: try Syscall.duplicate(device, lowest: Passed.first)),
                nodes: Descriptor(owning: try Syscall.duplicate(nodes, lowest: Passed.first)))
        } catch {
            throw Failure("\(mountpoint): no guardian for the kernel's caches: \(error)")
        }
        self.log = log
        let first = try charge.hand()
        running = Mutex(first)
        do throws(Errno) {
            replacer = try Worker("guardian") { [self] in replace(first) }
        } catch {
            first.line.stopSending()
            first.wait()
            throw Failure("\(mountpoint): no thread for the guardian: \(error)")
        }
    }

    /// Starts another guardian whenever there is none.
    private func replace(_ first: Running) {
        var current = first
        while true {
            current.wait()
            let next = running.withLock { running -> Running? in
                guard running != nil else { return nil }
                log.warning("\(charge.mountpoint): sf-guardian was killed; starting another")
                do throws(Failure) {
                    running = try charge.hand()
                } catch {
                    log.error("\(error)")
                    running = nil
                }
                return running
            }
            current.line.close()
            guard let next else { return }
            current = next
        }
    }

    /// Has it do its work, for whoever has the mount open after its end, and waits for that.
    func release() {
        running.withLock {
            $0?.line.stopSending()
            $0 = nil
        }
        replacer?.join()
        replacer = nil
    }
}

/// What `Guardian` starts.
struct Guard: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ends what the kernel answers for a daemon that has ended.",
        shouldDisplay: false)

    @Argument(help: "The number of the FUSE connection.")
    var connection: UInt32

    @Argument(help: "Where it is mounted.")
    var mountpoint: Path

    func run() throws {
        // Only the daemon's end ends it.
        for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] { signal(number, SIG_IGN) }
        setsid()
        chdir("/")
        Syscall.nameProcess("sf-guardian")
        // What is to be done is done with less, if not with all that is kept.
        _ = try? LeastPrivilege.limit(to: LeastPrivilege.ofGuardian, log: Logger(label: "guardian"))
        let line = Line(descriptor: Guardian.Passed.line)
        guard line.send(.answered) else { return }
        // The daemon says nothing: this ends when it does.
        _ = line.receive()
        let notifier = Notifier(owning: FileDescriptor(rawValue: Guardian.Passed.device))
        let nodes = FileDescriptor(rawValue: Guardian.Passed.nodes)
        guard KnownNodes.dropAttributes(of: nodes, by: notifier),
            DeadMount.abort(connection, mountedAt: mountpoint)
        else { return }
        // Waits for pages that are being read, so not before nobody can wait for the daemon.
        KnownNodes.forEach(in: nodes) { _ = notifier.dropPages(of: $0) }
    }
}
