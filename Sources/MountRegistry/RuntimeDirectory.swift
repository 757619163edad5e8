import CShortfuseABI
import FoundationEssentials
import Glibc
import KernelCache
import Syscall
import SystemPackage

/// The runtime directory of one mount: `/run/shortfuse/<name>/`, for root only; of an ordinary user's in
/// their own directory (`OrdinaryUser.runtimeDirectory`). It holds
/// `state.json`, `requests` (the daemon's counters) and, for a daemon in the background, `log`.
///
/// Whatever is removed here is removed under one lock and only if its daemon is gone, or by that
/// daemon itself.
package struct RuntimeDirectory: Sendable {
    /// SHORTFUSE_RUNTIME_DIRECTORY, an absolute path, or /run/shortfuse. Commands see only the mounts that
    /// were made with the same; the maps are pinned in a directory named after it.
    package static let defaultRoot: Path =
        environmentRoot
        ?? (OrdinaryUser.isCurrent ? OrdinaryUser.runtimeDirectory : "/run/shortfuse")

    private static let variable = "SHORTFUSE_RUNTIME_DIRECTORY"
    private static let environmentRoot = getenv(variable).map { Path(cString: $0) }

    package static func checkEnvironment() throws(Failure) {
        guard let path = environmentRoot else { return }
        guard path.isAbsolute, Paths.split(path) != nil else {
            throw Failure("\(variable)=\(path): give the absolute path of a directory, or unset it")
        }
    }

    /// State decides about processes and pins, so nobody but this user may have a hand in it.
    private static func requireOwn(_ root: Path) throws(Failure) {
        var found = stat()
        guard lstat(root.cString, &found) == 0 else {
            throw Failure("\(root): \(describe(Errno.last))")
        }
        guard Syscall.isOwnDirectory(found) else {
            throw Failure(
                "\(root): not a directory that belongs to \(OrdinaryUser.isCurrent ? "you" : "root") "
                    + "alone; remove it, or set \(variable)"
            )
        }
        // Older versions let everybody list it. One that somebody else has chosen is theirs.
        if environmentRoot == nil, found.st_mode & 0o077 != 0 { chmod(root.cString, 0o700) }
    }

    package let root: Path
    package let name: Path

    package init(mountpoint: Path, root: Path = defaultRoot) {
        self.init(name: Path(MountName(mountpoint: mountpoint).description), root: root)
    }

    package init(name: Path, root: Path) {
        self.name = name
        self.root = root
    }

    package var path: Path { "\(root)/\(name)" }
    package var requestsPath: Path { "\(path)/requests" }
    package var logPath: Path { "\(path)/log" }
    package var pins: String { "\(Self.pinRoot)/\(name)" }

    package static let pinRoot =
        environmentRoot.map { PinDirectory.root + "-" + MountName(mountpoint: $0).description }
        ?? PinDirectory.root
    private var statePath: Path { "\(path)/state.json" }

    /// All that exist, also those of dead daemons and those moved aside.
    package static func all(root: Path = defaultRoot) throws(Failure) -> [RuntimeDirectory] {
        do {
            return try Files.names(in: root).filter { $0 != lockName }.sorted().map {
                RuntimeDirectory(name: $0, root: root)
            }
        } catch .noSuchFileOrDirectory {
            return []
        } catch {
            throw Failure("\(root): \(describe(error))")
        }
    }

    // MARK: State

    /// Nil where there is none.
    package func state() throws(Failure) -> MountState? {
        let bytes: [UInt8]
        do {
            bytes = try Files.read(statePath)
        } catch .noSuchFileOrDirectory {
            return nil
        } catch {
            throw Failure("\(statePath): \(Self.describe(error))")
        }
        do {
            return try JSONDecoder().decode(MountState.self, from: Data(bytes))
        } catch {
            let mounted = try MountTable.current().last {
                $0.type.hasPrefix("fuse")
                    && RuntimeDirectory(mountpoint: $0.mountpoint).name == name
            }
            let mend = mounted.map { "unmount it first: umount \($0.mountpoint), then " } ?? ""
            throw Failure(
                "\(statePath): not a state of shortfuse \(SHORTFUSE_VERSION); "
                    + "unmount it with the version that mounted it, or \(mend)remove \(path)")
        }
    }

    /// Makes the directory this process's own, or says whose it is. Leftovers of a dead daemon must
    /// be gone already, see `clearLeftovers`.
    package func claim(_ state: MountState) throws(Failure) {
        try withLock { () throws(Failure) in
            try makeWay()
            removeFiles()
            guard mkdir(path.cString, 0o700) == 0 else {
                throw Failure("\(path): \(Errno.last); make room in \(root)")
            }
            do throws(Failure) {
                try write(state)
            } catch {
                removeFiles()
                throw error
            }
        }
    }

    /// Changes the state of `process`, wherever it is by now. Does nothing if there is none.
    package func update(
        of process: ProcessIdentity = .current, _ change: (inout MountState) -> Void
    ) throws(Failure) {
        try withLock { () throws(Failure) in
            guard let (place, state) = try find(process) else { return }
            var changed = state
            change(&changed)
            try place.write(changed)
        }
    }

    /// Replaces the state. Only for the daemon that claimed the directory.
    package func write(_ state: MountState) throws(Failure) {
        do {
            try Files.replace(statePath, with: try JSON.encode(state))
        } catch let error as Errno {
            throw Failure("\(statePath): \(Self.describe(error))")
        } catch {
            throw Failure("\(statePath): \(error)")
        }
    }

    // MARK: Removal

    /// The end of a daemon: removes what it claimed, and nothing if another one claimed it since.
    package func release() throws(Failure) {
        try withLock { () throws(Failure) in
            try find(.current)?.place.removeFiles()
            sweepAside()
        }
    }

    /// Removes state and pins that a dead daemon left; `detach` is to take its mount away first.
    /// Does nothing if there are none. A daemon that lives without a mount makes way; throws if it
    /// has one.
    package func clearLeftovers(detach: () throws(Failure) -> Void) throws(Failure) {
        guard Files.exists(path) || Files.exists(Path(pins)) || !allAside.isEmpty else { return }
        try withLock { () throws(Failure) in
            try makeWay()
            try detach()
            removeWithPins()
            sweepAside()
        }
    }

    /// Removes what a process that held an attachment left: there is no mount of its own.
    package func clearAttached() throws(Failure) {
        guard Files.exists(path) || Files.exists(Path(pins)) else { return }
        try withLock { () throws(Failure) in
            guard try state()?.process.isAlive != true else { return }
            removeWithPins()
        }
    }

    /// All of a daemon that has ended.
    package func removeWithPins() {
        PinDirectory.remove(pins)
        removeFiles()
    }

    private func removeFiles() {
        for file in (try? Files.names(in: path)) ?? [] {
            let file: Path = "\(path)/\(file)"
            unlink(file.cString)
        }
        rmdir(path.cString)
    }

    // MARK: Lock

    private static let lockName: Path = ".lock"

    /// The error and its mend.
    package static func describe(_ error: Errno) -> String {
        let mend =
            switch error {
            case .permissionDenied, .notPermitted: "run this as root"
            case .noSuchFileOrDirectory where OrdinaryUser.isCurrent:
                "set XDG_RUNTIME_DIR to a directory of yours"
            case .readOnlyFileSystem: "make it writable, or set \(variable)"
            case .noSpace: "make room there"
            default: "check that directory, or set \(variable)"
            }
        return "\(error); \(mend)"
    }

    /// One at a time among all shortfuse processes. Held for moments only; the kernel lets go of it
    /// if its holder dies.
    package func withLock<R>(_ body: () throws(Failure) -> R) throws(Failure) -> R {
        guard mkdir(root.cString, 0o700) == 0 || errno == EEXIST else {
            throw Failure("\(root): \(Self.describe(Errno.last))")
        }
        try Self.requireOwn(root)
        let lockPath: Path = "\(root)/\(Self.lockName)"
        let file = open(lockPath.cString, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else {
            throw Failure("\(lockPath): \(Self.describe(Errno.last))")
        }
        defer { close(file) }
        while flock(file, LOCK_EX) != 0 {
            guard errno == EINTR else { throw Failure("\(lockPath): \(Errno.last)") }
        }
        return try body()
    }
}
