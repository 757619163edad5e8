import Glibc
import KernelCache
import MountRegistry
import Syscall
import SystemPackage

/// SOURCE and MOUNTPOINT, checked and canonical: what a daemon needs to know before it mounts.
struct MountPlan: Equatable, Sendable {
    let source: Path
    let mountpoint: Path

    /// Checks both, and clears what a dead daemon left at MOUNTPOINT.
    init(source: Path, mountpoint: Path) throws(Failure) {
        self.source = try Self.resolve(source, role: "SOURCE")
        try Self.requireDirectory(self.source, role: "SOURCE")
        self.mountpoint = try Self.resolve(mountpoint, role: "MOUNTPOINT")

        let runtime = RuntimeDirectory(mountpoint: self.mountpoint)
        try runtime.makeRoom()
        DeadMount.settle(self.mountpoint, of: try runtime.state())
        try Self.refuseLiveMount(self.mountpoint)
        try runtime.clearLeftovers { () throws(Failure) in
            try DeadMount.detach(self.mountpoint, ours: true)
        }
        // A dead mount without a state: /run was emptied meanwhile.
        try DeadMount.detach(self.mountpoint, ours: false)
        try Self.refuseLiveMount(self.mountpoint)
        try Self.requireDirectory(self.mountpoint, role: "MOUNTPOINT")
        try Self.checkPlace(source: self.source, mountpoint: self.mountpoint)
        if OrdinaryUser.isCurrent { try OrdinaryUser.checkPlace(self.mountpoint) }
    }

    private static func refuseLiveMount(_ mountpoint: Path) throws(Failure) {
        guard let entry = try MountTable.top(at: mountpoint), !DeadMount.isDead(mountpoint) else {
            return
        }
        throw Failure(
            "\(mountpoint): already a mount point (\(entry.type)); "
                + "unmount it first or choose another MOUNTPOINT")
    }

    /// That mounting here hides nothing and leads into no circle.
    private static func checkPlace(source: Path, mountpoint: Path) throws(Failure) {
        let inside = Paths.isInside(mountpoint, directory: source)
        let around = Paths.isInside(source, directory: mountpoint)
        if inside && around {
            throw Failure(
                "\(mountpoint): SOURCE and MOUNTPOINT are the same directory; "
                    + "choose another MOUNTPOINT")
        }
        if inside {
            throw Failure(
                "\(mountpoint): MOUNTPOINT is inside SOURCE \(source), so the mount would contain "
                    + "itself; choose a MOUNTPOINT outside")
        }
        if around {
            throw Failure(
                "\(source): SOURCE is inside MOUNTPOINT \(mountpoint), so the mount would hide it; "
                    + "choose another MOUNTPOINT")
        }
        // The daemon uses these while it serves: through its own mount it would wait for itself.
        for own in [RuntimeDirectory.defaultRoot, Path(RuntimeDirectory.pinRoot)]
        where Paths.isInside(own, directory: mountpoint) {
            throw Failure(
                "\(mountpoint): MOUNTPOINT would hide \(own), where shortfuse keeps its state; "
                    + "choose another MOUNTPOINT")
        }
        let names: [Path]
        do {
            names = try Files.names(in: mountpoint)
        } catch {
            throw Failure("\(mountpoint): cannot read MOUNTPOINT: \(error); choose another one")
        }
        guard names.isEmpty else {
            throw Failure(
                "\(mountpoint): MOUNTPOINT is not empty; empty it or choose an empty directory")
        }
    }

    private static func resolve(_ path: Path, role: String) throws(Failure) -> Path {
        do {
            return try Paths.canonical(path)
        } catch .noSuchFileOrDirectory {
            throw Failure(
                "\(path): \(role) does not exist; "
                    + (role == "SOURCE" ? "check the path" : "create it: mkdir -p \(path)"))
        } catch .notDirectory {
            throw Failure("\(path): \(role) is not a directory; give a directory")
        } catch {
            throw Failure("\(path): \(role): \(error); check the path")
        }
    }

    private static func requireDirectory(_ path: Path, role: String) throws(Failure) {
        var found = stat()
        guard stat(path.cString, &found) == 0 else {
            let error = Errno.last
            if error == .socketNotConnected {
                throw Failure(
                    "\(path): \(role) is a dead mount of another program; "
                        + "unmount it first: umount --lazy \(path)")
            }
            throw Failure("\(path): \(role): \(error); check the path")
        }
        guard found.st_mode & S_IFMT == S_IFDIR else {
            throw Failure("\(path): \(role) is not a directory; give a directory")
        }
    }
}

/// Mounts whose daemon is gone: every call on them gives ENOTCONN.
enum DeadMount {
    static func isDead(_ mountpoint: Path) -> Bool {
        var found = statvfs()
        return statvfs(mountpoint.cString, &found) != 0 && errno == ENOTCONN
    }

    /// Waits until the mount of a process that was killed is dead: the kernel ends it when the last of
    /// the process's threads lets go of /dev/fuse, after the process is gone for others.
    static func settle(_ mountpoint: Path, of state: MountState?) {
        guard let state, state.attached == nil, !state.process.isAlive else { return }
        let clock = ContinuousClock()
        let end = clock.now + .seconds(2)
        while clock.now < end, !isDead(mountpoint),
            let top = try? MountTable.top(at: mountpoint), top.type.hasPrefix("fuse")
        {
            usleep(10_000)
        }
    }

    /// Takes dead FUSE mounts off `mountpoint`, also several on top of each other. Live ones and
    /// those of other file systems stay.
    ///
    /// - Parameter ours: true if a state says that shortfuse mounted here; else the type must.
    static func detach(_ mountpoint: Path, ours: Bool) throws(Failure) {
        while let entry = try MountTable.top(at: mountpoint), isDead(mountpoint) {
            guard entry.type == "fuse.shortfuse" || (ours && entry.type.hasPrefix("fuse")) else {
                return
            }
            do throws(Errno) {
                try Fusermount.unmount(mountpoint, lazily: true)
            } catch {
                let mend =
                    error == .notPermitted
                    ? "run this as root" : "unmount it: umount --lazy \(mountpoint)"
                throw Failure(
                    "\(mountpoint): a killed daemon left a dead mount, and it cannot be removed: "
                        + "\(error); \(mend)")
            }
        }
    }

    /// UMOUNT_NOFOLLOW, typed.
    static let umountNoFollow = CInt(UMOUNT_NOFOLLOW)
}
