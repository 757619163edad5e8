import FoundationEssentials
import Glibc
import KernelCache
import SystemPackage

/// The runtime directory of one mount: `/run/shortfuse/<name>/`, for root only. It holds
/// `state.json`, `requests` (the daemon's counters) and, for a daemon in the background, `log`.
///
/// Whatever is removed here is removed under one lock and only if its daemon is gone, or by that
/// daemon itself.
struct RuntimeDirectory: Sendable {
    static let defaultRoot = "/run/shortfuse"

    let root: String
    let name: String

    init(mountpoint: String, root: String = defaultRoot) {
        self.init(name: MountName(mountpoint: mountpoint).description, root: root)
    }

    private init(name: String, root: String) {
        self.name = name
        self.root = root
    }

    var path: String { "\(root)/\(name)" }
    var requestsPath: String { "\(path)/requests" }
    var logPath: String { "\(path)/log" }
    var pins: String { "\(PinDirectory.root)/\(name)" }
    private var statePath: String { "\(path)/state.json" }

    /// All that exist, also those of dead daemons.
    static func all(root: String = defaultRoot) throws(Failure) -> [RuntimeDirectory] {
        do {
            return try Files.names(in: root).filter { $0 != lockName }.sorted().map {
                RuntimeDirectory(name: $0, root: root)
            }
        } catch .noSuchFileOrDirectory {
            return []
        } catch {
            throw Failure("\(root): \(error); run this as root")
        }
    }

    // MARK: State

    /// Nil where there is none.
    func state() throws(Failure) -> MountState? {
        let bytes: [UInt8]
        do {
            bytes = try Files.read(statePath)
        } catch .noSuchFileOrDirectory {
            return nil
        } catch {
            throw Failure("\(statePath): \(error); run this as root")
        }
        do {
            return try JSONDecoder().decode(MountState.self, from: Data(bytes))
        } catch {
            throw Failure(
                "\(statePath): not a state of shortfuse \(Shortfuse.version); "
                    + "unmount it with the version that mounted it, or remove \(path)")
        }
    }

    /// Makes the directory this process's own, or says whose it is. Leftovers of a dead daemon must
    /// be gone already, see `clearLeftovers`.
    func claim(_ state: MountState) throws(Failure) {
        try withLock { () throws(Failure) in
            try refuseIfLive()
            removeFiles()
            guard mkdir(path, 0o700) == 0 else {
                throw Failure("\(path): \(Errno.last); make room in \(root)")
            }
            try write(state)
        }
    }

    /// Replaces the state. Only for the daemon that claimed the directory.
    func write(_ state: MountState) throws(Failure) {
        do {
            try Files.replace(statePath, with: try JSON.encode(state))
        } catch let error as Errno {
            throw Failure("\(statePath): \(error)")
        } catch {
            throw Failure("\(statePath): \(error)")
        }
    }

    func refuseIfLive() throws(Failure) {
        guard let state = try state(), state.process.isAlive else { return }
        let whose = "(process \(state.process.pid), source \(state.source))"
        guard try MountTable.top(at: state.mountpoint) == nil else {
            throw Failure(
                "\(state.mountpoint): already mounted by shortfuse \(whose); "
                    + "unmount it first: shortfuse unmount \(state.mountpoint)")
        }
        throw Failure(
            "\(state.mountpoint): in use by shortfuse \(whose), which is about to mount it or "
                + "still serves files open since its unmount; wait for that")
    }

    // MARK: Removal

    /// The end of a daemon: removes what it claimed, and nothing if another one claimed it since.
    func release() throws(Failure) {
        try withLock { () throws(Failure) in
            guard try state()?.process == .current else { return }
            removeFiles()
        }
    }

    /// Removes state and pins that a dead daemon left; `detach` is to take its mount away first.
    /// Does nothing if there are none; throws if the daemon lives.
    func clearLeftovers(detach: () throws(Failure) -> Void) throws(Failure) {
        guard Files.exists(path) || Files.exists(pins) else { return }
        try withLock { () throws(Failure) in
            try refuseIfLive()
            try detach()
            PinDirectory.remove(pins)
            removeFiles()
        }
    }

    private func removeFiles() {
        for file in (try? Files.names(in: path)) ?? [] {
            unlink("\(path)/\(file)")
        }
        rmdir(path)
    }

    // MARK: Lock

    private static let lockName = ".lock"

    /// One at a time among all shortfuse processes. Held for moments only; the kernel lets go of it
    /// if its holder dies.
    private func withLock<R>(_ body: () throws(Failure) -> R) throws(Failure) -> R {
        guard mkdir(root, 0o755) == 0 || errno == EEXIST else {
            throw Failure("\(root): \(Errno.last); run this as root")
        }
        let lockPath = "\(root)/\(Self.lockName)"
        let file = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure("\(lockPath): \(Errno.last); run this as root") }
        defer { close(file) }
        while flock(file, LOCK_EX) != 0 {
            guard errno == EINTR else { throw Failure("\(lockPath): \(Errno.last)") }
        }
        return try body()
    }
}
