import Glibc
import MountRegistry
import Syscall
import SystemPackage

/// A mount that can be attached to.
struct AttachTarget {
    let mountpoint: Path
    /// As mountinfo has it: "fuse.sshfs".
    let type: String
    let device: dev_t

    /// - Throws: `Failure` for what is no FUSE mount, or of a kind that is not served.
    init(_ path: Path) throws(Failure) {
        let mountpoint: Path
        do {
            mountpoint = try Paths.canonical(path)
        } catch {
            throw Failure("\(path): \(error); give the directory that the mount is at")
        }
        guard let entry = try MountTable.top(at: mountpoint) else {
            throw Failure("\(mountpoint): nothing is mounted here; give the mount's own directory")
        }
        switch entry.type {
        case "fuse.shortfuse":
            throw Failure("\(mountpoint): a mount of shortfuse itself, which needs no attaching")
        case "fuseblk":
            throw Failure(
                "\(mountpoint): a FUSE mount of a block device (fuseblk), which is not served")
        case "virtiofs":
            throw Failure(
                "\(mountpoint): virtiofs, whose server is another machine's, is not served")
        case let type where type == "fuse" || type.hasPrefix("fuse."): break
        default:
            throw Failure("\(mountpoint): \(entry.type) is no FUSE file system")
        }
        self.mountpoint = mountpoint
        type = entry.type
        device = entry.device
    }

    /// Whether it shows what nobody changes: an archive or an image. By the names of daemons that do only
    /// that.
    var isArchive: Bool {
        ["squashfuse", "squashfuse_ll", "erofsfuse", "fuseiso", "ratarmount", "dwarfs"]
            .contains { type == "fuse.\($0)" }
    }

    /// Whether it is still mounted, here or elsewhere.
    var isMounted: Bool {
        guard let mounts = try? MountTable.current() else { return true }
        return mounts.contains { $0.device == device && $0.type == type }
    }
}

/// Why an attachment ends: a signal, or the mount is gone.
struct EndOfAttachment {
    private let target: AttachTarget
    private let signals: FileDescriptor
    private let mounts: FileDescriptor

    init(_ target: AttachTarget) throws(Failure) {
        self.target = target
        signal(SIGPIPE, SIG_IGN)
        do {
            signals = try Syscall.makeSignalDescriptor([SIGINT, SIGTERM, SIGHUP])
            mounts = try Syscall.open("/proc/self/mountinfo", flags: O_RDONLY)
        } catch {
            throw Failure("/proc/self/mountinfo: \(error); mount /proc")
        }
    }

    func wait() -> String {
        while target.isMounted {
            var polled = [
                pollfd(fd: signals.rawValue, events: Int16(POLLIN), revents: 0),
                // proc(5): POLLPRI when the mounts have changed.
                pollfd(fd: mounts.rawValue, events: Int16(POLLPRI), revents: 0),
            ]
            guard poll(&polled, 2, -1) >= 0 || errno == EINTR else { return "\(Errno.last)" }
            if polled[0].revents != 0 { return "a signal" }
        }
        return "unmounted"
    }
}
