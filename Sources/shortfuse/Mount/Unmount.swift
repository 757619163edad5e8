import ArgumentParser
import Glibc
import MountRegistry
import SystemPackage

struct Unmount: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Unmounts, and waits until the daemon has ended.",
        discussion: """
            Also removes what a killed daemon left: the dead mount, its pinned maps and its \
            state.

            Fails if programs use the mount, and names some of them. --lazy detaches \
            the mount at once and lets those programs finish; the daemon ends when \
            the last of them does.

            Examples:
              shortfuse unmount /mnt
              shortfuse unmount --lazy /mnt
            """)

    @Flag(help: "Unmount even if in use; the daemon ends when the last user does.")
    var lazy = false

    @Argument(help: "Where it is mounted.")
    var mountpoint: Path

    /// How long to wait for the daemon after the mount is gone.
    private static let patience = Duration.seconds(10)

    func run() throws {
        let mountpoint = try KnownMounts.place(self.mountpoint)
        let runtime = RuntimeDirectory(mountpoint: mountpoint)
        let entry = try MountTable.top(at: mountpoint)
        let known = try runtime.state()
        // Also if its process is gone: the mount is somebody else's, dead or not.
        guard known?.attached == nil else {
            throw Failure(
                "\(mountpoint): shortfuse is attached to it and has not mounted it; end that with "
                    + "`shortfuse detach \(mountpoint)`, and unmount with umount or fusermount3 -u")
        }
        guard let state = known, state.process.isAlive else {
            DeadMount.settle(mountpoint, of: known)
            return try clearDead(mountpoint, runtime: runtime, entry: entry)
        }
        guard let entry, entry.type.hasPrefix("fuse") else {
            throw Failure(
                "\(mountpoint): not mounted any more, but process \(state.process.pid) still "
                    + "serves files that are open; it ends when they are closed")
        }
        try detach(mountpoint)
        try wait(for: state, runtime: runtime)
    }

    private func clearDead(
        _ mountpoint: Path, runtime: RuntimeDirectory, entry: MountEntry?
    ) throws(Failure) {
        guard Files.exists(runtime.path) || entry?.type == "fuse.shortfuse" else {
            throw Failure(
                "\(mountpoint): not a shortfuse mount; `shortfuse status` lists the mounts")
        }
        if let entry, entry.type == "fuse.shortfuse", !DeadMount.isDead(mountpoint) {
            // Somebody emptied /run behind a live daemon. It removes its pins itself.
            try detach(mountpoint)
            print(
                "\(mountpoint): unmounted; its state is another user's or was lost, so its daemon was "
                    + "not waited for")
            return
        }
        try runtime.clearLeftovers { () throws(Failure) in
            try DeadMount.detach(mountpoint, ours: true)
        }
        try DeadMount.detach(mountpoint, ours: false)
        print("\(mountpoint): cleaned up after a daemon that was gone")
    }

    private func detach(_ mountpoint: Path) throws(Failure) {
        do throws(Errno) {
            try Fusermount.unmount(mountpoint, lazily: lazy)
        } catch {
            guard error == .resourceBusy else {
                throw Failure(
                    "\(mountpoint): \(error); "
                        + (OrdinaryUser.isCurrent
                            ? "run this as who mounted it, or as root" : "umount(8) tells more"))
            }
            let users = MountUsers.describe(mountpoint)
            throw Failure(
                "\(mountpoint): busy" + (users.isEmpty ? "" : ": in use by \(users)")
                    + "; stop that, or unmount with --lazy")
        }
    }

    private func wait(for state: MountState, runtime: RuntimeDirectory) throws(Failure) {
        let clock = ContinuousClock()
        let end = clock.now + (lazy ? .seconds(1) : Self.patience)
        while state.process.isAlive || Files.exists(runtime.path) {
            if !state.process.isAlive {
                // Somebody may have mounted there again.
                if let next = try runtime.state(), next.process != state.process { break }
                // Killed on its way out: finish its work.
                try runtime.clearLeftovers {}
                break
            }
            guard clock.now < end else {
                if lazy {
                    print(
                        "\(state.mountpoint): unmounted; process \(state.process.pid) serves "
                            + "files that are still open, and ends with them")
                    return
                }
                let place =
                    state.device.flatMap(MountUsers.namespace(of:)).map {
                        "it is still mounted in the mount namespace of \($0); end that"
                    } ?? "see \(runtime.logPath)"
                throw Failure(
                    "\(state.mountpoint): unmounted, but its daemon (process "
                        + "\(state.process.pid)) has not ended after \(Self.patience): "
                        + "\(place), or kill the daemon")
            }
            usleep(5_000)
        }
    }
}

/// Who uses a mount.
enum MountUsers {
    /// Some of the processes with a file, directory or program there, as text; empty if none can
    /// be seen. Reads only links in /proc, so it never asks the mount itself.
    static func describe(_ mountpoint: Path, atMost limit: Int = 3) -> String {
        var users: [String] = []
        let own = getpid()
        for name in (try? Files.names(in: "/proc")) ?? [] {
            guard let pid = Int32(name.description), pid != own, uses(pid, mountpoint) else {
                continue
            }
            if users.count == limit {
                users.append("…")
                break
            }
            users.append("\(Files.text("/proc/\(pid)/comm") ?? "?") (\(pid))")
        }
        return users.joined(separator: ", ")
    }

    /// A process that still has the mount, because its mount namespace was copied from ours.
    static func namespace(of device: dev_t) -> String? {
        for name in (try? Files.names(in: "/proc")) ?? [] {
            guard let pid = Int32(name.description),
                MountTable.seen(by: pid).contains(where: { $0.device == device })
            else { continue }
            return "\(Files.text("/proc/\(pid)/comm") ?? "?") (\(pid))"
        }
        return nil
    }

    private static func uses(_ pid: Int32, _ mountpoint: Path) -> Bool {
        let process: Path = "/proc/\(pid)"
        var links: [Path] = ["cwd", "root", "exe"]
        for directory in ["fd", "map_files"] {
            links += ((try? Files.names(in: "\(process)/\(directory)")) ?? []).map {
                "\(directory)/\($0)"
            }
        }
        return links.contains { link in
            var target = [CChar](repeating: 0, count: Int(PATH_MAX))
            let link: Path = "\(process)/\(link)"
            let length = readlink(link.cString, &target, target.count)
            guard length > 0 else { return false }
            let path = target[..<length].lazy.map { UInt8(bitPattern: $0) }
            let prefix = mountpoint.bytes
            guard path.starts(with: prefix) else { return false }
            return path.count == prefix.count || path.dropFirst(prefix.count).first == 0x2f
        }
    }
}
