import Glibc
import MountRegistry
import Syscall
import SystemPackage

/// A mount of shortfuse with something to warm.
struct WarmMount: Sendable {
    /// `st_dev` of its files.
    let device: dev_t
    let mountpoint: Path
    /// Nil where only another user may know.
    let state: MountState?
}

extension WarmMount {
    /// Nil if it is of another kind.
    init?(device: dev_t) throws(Failure) {
        var unknown: MountEntry?
        for entry in try MountTable.current() where entry.device == device {
            // By its state, because its type can be chosen; whose mount it is not cannot see that.
            let runtime = RuntimeDirectory(mountpoint: entry.mountpoint)
            if let state = try? runtime.state() {
                self.init(device: device, mountpoint: entry.mountpoint, state: state)
                return
            }
            if entry.type == "fuse.shortfuse" { unknown = entry }
        }
        guard let unknown else { return nil }
        self.init(device: device, mountpoint: unknown.mountpoint, state: nil)
    }
}

/// A PATH of `warm`.
struct WarmTarget: Sendable {
    /// As given: bytes, which need not be UTF-8.
    let path: [UInt8]
    /// Whether it is a symlink elsewhere that leads to the mount. One on the mount stands for itself.
    let follows: Bool
    let mount: WarmMount

    /// Opens it as an `O_PATH` descriptor.
    func open() throws(Errno) -> Descriptor {
        try Self.open(path, follows: follows)
    }

    private static func open(_ path: [UInt8], follows: Bool) throws(Errno) -> Descriptor {
        let name = path.cString
        let flags = Syscall.openPath | (follows ? 0 : O_NOFOLLOW)
        return Descriptor(owning: try Syscall.open(name, flags: flags))
    }
}

extension WarmTarget {
    /// - Parameter mounts: those found already; a new one is added.
    init(path: [UInt8], mounts: inout [dev_t: WarmMount]) throws(Failure) {
        for follows in [false, true] {
            let device: dev_t
            do {
                let file = try Self.open(path, follows: follows)
                device = try Syscall.status(file.fd).st_dev
            } catch {
                throw Failure("\(printable(path)): \(Self.describe(error))")
            }
            if mounts[device] == nil { mounts[device] = try WarmMount(device: device) }
            if let mount = mounts[device] {
                self.init(path: path, follows: follows, mount: mount)
                return
            }
        }
        throw Failure(
            "\(printable(path)): not on a shortfuse mount; give a path below a mount point "
                + "that `shortfuse status` lists")
    }

    private static func describe(_ error: Errno) -> String {
        switch error {
        case .noSuchFileOrDirectory: "does not exist; check the path"
        case .socketNotConnected, .connectionAbort:
            "its daemon is gone; `shortfuse status` lists the mounts, unmount the dead one"
        case .permissionDenied where geteuid() != 0:
            "\(error); run this as root, or mount with -o allow_other"
        default: "\(error); check the path"
        }
    }
}
