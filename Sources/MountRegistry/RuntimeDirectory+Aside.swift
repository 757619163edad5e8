import Glibc
import KernelCache
import SystemPackage

/// A daemon whose mount was taken away lives on while files are open there, and its place is wanted
/// for the next mount. So its directory and its pins get another name: "_d" and its process number,
/// which no mount point yields (`MountName`).
extension RuntimeDirectory {
    private static let mark = "_d"

    /// The place of process `pid` once it has made way.
    private func aside(_ pid: Int32) -> RuntimeDirectory {
        RuntimeDirectory(name: "\(name)\(Self.mark)\(pid)", root: root)
    }

    /// Those that made way here.
    package var allAside: [RuntimeDirectory] {
        let prefix = name.bytes + Array(Self.mark.utf8)
        return ((try? Files.names(in: root)) ?? []).compactMap { found in
            let pid = found.bytes.dropFirst(prefix.count)
            guard found.bytes.starts(with: prefix), !pid.isEmpty,
                pid.allSatisfy({ (0x30...0x39).contains($0) })
            else { return nil }
            return RuntimeDirectory(name: found, root: root)
        }
    }

    /// Where the state of `process` is now, and the state. Under the lock.
    package func find(
        _ process: ProcessIdentity
    ) throws(Failure) -> (place: RuntimeDirectory, state: MountState)? {
        for place in [aside(process.pid), self] {
            if let state = try place.state(), state.process == process { return (place, state) }
        }
        return nil
    }

    /// Moves a live daemon that has no mount any more out of the way; refuses if it has one, or is
    /// about to. Under the lock.
    package func makeWay() throws(Failure) {
        guard var state = try state(), state.process.isAlive else { return }
        let whose = "(process \(state.process.pid), source \(state.source))"
        guard state.device != nil else {
            throw Failure(
                "\(state.mountpoint): in use by shortfuse \(whose), which is about to mount it; wait"
            )
        }
        // As the daemon sees it: where this process does not see the mount, it is still in use.
        guard !state.isMounted(in: MountTable.seen(by: state.process.pid)) else {
            guard state.attached == nil else {
                throw Failure(
                    "\(state.mountpoint): shortfuse is attached to what is mounted here already "
                        + "(process \(state.process.pid)); end that first: "
                        + "shortfuse detach \(state.mountpoint)")
            }
            throw Failure(
                "\(state.mountpoint): already mounted by shortfuse \(whose); "
                    + "unmount it first: shortfuse unmount \(state.mountpoint)")
        }
        let aside = aside(state.process.pid)
        do throws(Errno) {
            try PinDirectory.rename(pins, to: aside.pins)
            guard rename(path.cString, aside.path.cString) == 0 else { throw .last }
        } catch {
            throw Failure(
                "\(path): cannot make way for another mount: \(error); "
                    + "end what uses the files of process \(state.process.pid)")
        }
        state.pins = aside.pins
        try aside.write(state)
    }

    /// As `makeWay`, for who does not have the lock.
    package func makeRoom() throws(Failure) {
        guard Files.exists(path) else { return }
        try withLock { () throws(Failure) in try makeWay() }
    }

    /// Removes what daemons left that made way and were killed then. Under the lock.
    package func sweepAside() {
        for place in allAside {
            guard let state = try? place.state(), !state.process.isAlive else { continue }
            place.removeWithPins()
        }
    }
}
