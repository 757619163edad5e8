import Glibc
import MountRegistry
import SystemPackage

/// The mounts that daemons have left word of.
enum KnownMounts {
    /// Where `path` leads, as the mounts are known by.
    static func place(_ path: Path) throws(Failure) -> Path {
        do {
            return try Paths.canonical(path)
        } catch {
            throw Failure("\(path): \(error); `shortfuse status` lists the mounts")
        }
    }

    /// The mount at `path`, also if its daemon is gone.
    static func find(_ path: Path) throws(Failure) -> (MountState, RuntimeDirectory) {
        let mountpoint = try place(path)
        let runtime = RuntimeDirectory(mountpoint: mountpoint)
        guard let state = try runtime.state(), state.mountpoint == mountpoint else {
            if try MountTable.top(at: mountpoint)?.type == "fuse.shortfuse" {
                throw Failure(
                    "\(path): mounted by another user, or its state was lost; "
                        + "run this as who mounted it")
            }
            throw Failure("\(path): not a shortfuse mount; `shortfuse status` lists the mounts")
        }
        return (state, runtime)
    }

    /// A state that cannot be read is told, and does not hide the others. Nothing is left to be done
    /// about a daemon that made way for another mount and has ended since.
    static func all(
        telling: (Failure) -> Void = { warn($0.description) }
    ) throws(Failure) -> [(MountState, RuntimeDirectory)] {
        var found: [(MountState, RuntimeDirectory)] = []
        for runtime in try RuntimeDirectory.all() {
            do {
                guard let state = try runtime.state() else { continue }
                let isAside = RuntimeDirectory(mountpoint: state.mountpoint).name != runtime.name
                if !isAside || state.process.isAlive { found.append((state, runtime)) }
            } catch {
                telling(error)
            }
        }
        return found
    }
}
