import Glibc
import SystemPackage

/// The mounts that daemons have left word of.
enum KnownMounts {
    /// The mount at `path`, also if its daemon is gone.
    static func find(_ path: String) throws(Failure) -> (MountState, RuntimeDirectory) {
        let mountpoint: String
        do {
            mountpoint = try Paths.canonical(path)
        } catch {
            throw Failure("\(path): \(error); `shortfuse status` lists the mounts")
        }
        let runtime = RuntimeDirectory(mountpoint: mountpoint)
        guard let state = try runtime.state(), state.mountpoint == mountpoint else {
            throw Failure("\(path): not a shortfuse mount; `shortfuse status` lists the mounts")
        }
        return (state, runtime)
    }

    /// A state that cannot be read is told, and does not hide the others.
    static func all() throws(Failure) -> [(MountState, RuntimeDirectory)] {
        var found: [(MountState, RuntimeDirectory)] = []
        for runtime in try RuntimeDirectory.all() {
            do {
                if let state = try runtime.state() { found.append((state, runtime)) }
            } catch {
                guard geteuid() == 0 else { throw error }
                warn(error.description)
            }
        }
        return found
    }
}
