import CFuse3
import Glibc
import Logging
import Synchronization
import Syscall
import SystemPackage

/// A process beside the daemon that outlives it: the kernel would go on answering from its own caches.
/// It has the kernel drop them, and ends the connection. If it is killed, another one takes its place.
///
/// It waits for the end of a line to the daemon, which the kernel closes however the daemon ends. It is the
/// same program started once more, which never comes to `main` (Sources/CFuse3/guardian.c).
public final class Guardian: @unchecked Sendable {
    // Safe to share: `replacer` is set before anybody else has the object; the rest is constant or
    // locked.

    /// What each guardian is given.
    private struct Charge: Sendable {
        let mountpoint: FilePath
        /// `st_dev` of the mount.
        let number: dev_t
        let device: Descriptor
        let nodes: Descriptor
        /// Aborts the connection; nil if this process cannot open it.
        let abort: Descriptor?

        /// Starts a guardian, and waits until it is there.
        func hand() throws(Errno) -> Running {
            var line: CInt = -1
            let pid = mountpoint.withPlatformString { mountpoint in
                "\(number)".withCString { number in
                    var guardian = cfuse3_guardian(
                        device: device.fd.rawValue, nodes: nodes.fd.rawValue,
                        abort: abort?.fd.rawValue ?? -1, mountpoint: mountpoint, number: number)
                    return cfuse3_start_guardian(&guardian, &line)
                }
            }
            guard pid >= 0 else { throw Errno(rawValue: errno) }
            return Running(pid: pid, line: Descriptor(owning: FileDescriptor(rawValue: line)))
        }
    }

    private struct Running: Sendable {
        let pid: pid_t
        let line: Descriptor

        /// It says nothing more: the line ends when it does.
        func wait() {
            var byte: UInt8 = 0
            while read(line.fd.rawValue, &byte, 1) < 0, errno == EINTR {}
            while waitpid(pid, nil, 0) < 0, errno == EINTR {}
        }

        /// To the guardian it is as if this process had ended.
        func stop() { shutdown(line.fd.rawValue, CInt(SHUT_WR)) }
    }

    private let charge: Charge
    private let log: Logger
    /// Nil when nothing is to be guarded any more.
    private let running: Mutex<Running?>
    private var replacer: Worker?

    /// - Parameters:
    ///   - mountpoint: where the session is mounted; absolute.
    ///   - device: the session's open /dev/fuse.
    ///   - nodes: kept at which nodes the kernel may know.
    ///   - log: for a guardian that is killed.
    /// - Throws: what cannot be had for it: descriptors, a process, a thread.
    public init(
        mountpoint: FilePath, device: FileDescriptor, nodes: KnownNodes, log: Logger
    ) throws(SessionError) {
        self.log = log
        do throws(Errno) {
            charge = try Self.charge(mountpoint, device, nodes)
            let running = try charge.hand()
            self.running = Mutex(running)
            do throws(Errno) {
                replacer = try Worker("guardian") { [self] in replace(running) }
            } catch {
                running.stop()
                running.wait()
                throw error
            }
        } catch {
            throw SessionError(doing: "start a guardian for the kernel's caches", "\(error)")
        }
    }

    private static func charge(
        _ mountpoint: FilePath, _ device: FileDescriptor, _ nodes: KnownNodes
    ) throws(Errno) -> Charge {
        func passing(_ fd: FileDescriptor) throws(Errno) -> Descriptor {
            let first = CInt(CFUSE3_GUARDIAN_FIRST)
            return Descriptor(owning: try Syscall.duplicate(fd, lowest: first))
        }
        let number = try mountpoint.withPlatformString { path in
            Result { () throws(Errno) in try Syscall.device(of: path) }
        }.get()
        let abort = (try? Syscall.openFuseAbort(Syscall.minor(of: number)))
            .map { Descriptor(owning: $0) }
        return Charge(
            mountpoint: mountpoint.isAbsolute
                ? mountpoint : try Syscall.workingDirectory().pushing(mountpoint),
            number: number, device: try passing(device), nodes: try passing(nodes.file.fd),
            abort: try abort.map { abort throws(Errno) in try passing(abort.fd) })
    }

    /// Starts another guardian whenever there is none.
    private func replace(_ first: Running) {
        var current = first
        while true {
            current.wait()
            guard let next = next() else { return }
            current = next
        }
    }

    private func next() -> Running? {
        running.withLock { running in
            guard running != nil else { return nil }
            log.warning("\(charge.mountpoint): sf-guardian was killed; starting another")
            do throws(Errno) {
                running = try charge.hand()
            } catch {
                log.error("\(charge.mountpoint): no guardian for the kernel's caches: \(error)")
                running = nil
            }
            return running
        }
    }

    /// Has it do its work, for whoever has the mount open after its end, and waits for that.
    public func release() {
        running.withLock {
            $0?.stop()
            $0 = nil
        }
        replacer?.join()
        replacer = nil
    }
}
