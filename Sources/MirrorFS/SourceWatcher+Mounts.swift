import Glibc
import StoreFS
import Syscall
import SystemPackage

/// Mounts below SOURCE that were added or removed.
struct MountChange {
    /// The devices of their file systems, without SOURCE's own.
    var devices: Set<UInt64> = []
    /// Names that now lead to other files.
    var names: [Name] = []

    /// A directory, and a name in it with its NUL.
    struct Name: Sendable {
        let directory: Identity
        let name: [CChar]
    }
}

/// When a file system is unmounted its watch ends, and its device number is reused. So the table of
/// mounts is also watched.
extension SourceWatcher {
    /// On the watcher's thread.
    func readMounts() {
        guard let all = try? Syscall.mounts(), let now = try? Self.below(root.fd, all) else {
            // As if all events were lost.
            deliver?(SourceChange(kind: .overflow))
            return
        }
        var next: [MountInfo: MountChange.Name?] = [:]
        for mount in now { next[mount] = mounts[mount] ?? Self.name(of: mount.mountpoint) }
        let gone = mounts.filter { next[$0.key] == nil }
        let new = next.filter { mounts[$0.key] == nil }
        mounts = next
        var change = MountChange()
        let changed = Array(gone) + Array(new)
        change.devices = renewWatches(all).union(changed.map { UInt64($0.key.device) })
        change.devices.remove(ownDevice)
        change.names = changed.compactMap { $0.value }
        if change.devices.isEmpty, change.names.isEmpty { return }
        mountsChanged?(change)
    }

    /// The mounts below SOURCE, each with the name that it is mounted on: when it has been
    /// unmounted, a directory above may have been renamed, and the path be wrong.
    static func namedMounts(below root: FileDescriptor) -> [MountInfo: MountChange.Name?] {
        guard let all = try? Syscall.mounts(), let mounts = try? below(root, all) else {
            return [:]
        }
        return Dictionary(mounts.map { ($0, name(of: $0.mountpoint)) }) { first, _ in first }
    }

    private static func below(
        _ root: FileDescriptor, _ mounts: [MountInfo]
    ) throws(Errno) -> [MountInfo] {
        let source = try Syscall.linkTarget(ofDescriptor: root)
        let below = source == [UInt8(ascii: "/")] ? source : source + [UInt8(ascii: "/")]
        return mounts.filter { $0.mountpoint.starts(with: below) }
    }

    /// Renews the watches of file systems that were mounted again, and forgets those that could not
    /// be watched: their device numbers may belong to other file systems.
    /// - Returns: the devices whose watch had ended.
    private func renewWatches(_ now: [MountInfo]) -> Set<UInt64> {
        guard let watch, let watched = try? Syscall.watchedDevices(watch.fd) else { return [] }
        return fileSystems.withLock { fileSystems in
            var ended: Set<UInt64> = []
            for (device, known) in fileSystems.byDevice where device != ownDevice {
                if known != nil {
                    guard !watched.contains(Syscall.kernelNumber(of: dev_t(device))) else {
                        continue
                    }
                    ended.insert(device)
                }
                fileSystems.remove(device)
                // At once: a lookup may have found the old watch, and rely on it.
                guard known != nil, let mount = now.first(where: { $0.device == device }),
                    let found = try? Self.watch(mount, with: watch.fd)
                else { continue }
                fileSystems.add(found)
            }
            return ended
        }
    }

    private static func watch(
        _ mount: MountInfo, with watch: FileDescriptor
    ) throws(Errno) -> FileSystem {
        let root = try open(mount.mountpoint)
        let status = try Syscall.status(root.fd)
        let kind = status.st_mode & S_IFMT
        guard status.st_dev == mount.device, kind == S_IFDIR || kind == S_IFREG else {
            throw .notSupported
        }
        return try Self.watch(opening: root.fd, Identity(status), with: watch)
    }

    /// The parent directory of `path`, and the name there; nil if the directory does not exist.
    private static func name(of path: [UInt8]) -> MountChange.Name? {
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")), slash + 1 < path.endIndex,
            let directory = try? open(slash == 0 ? Array("/".utf8) : Array(path[..<slash])),
            let status = try? Syscall.status(directory.fd)
        else { return nil }
        let name = path[(slash + 1)...].cString
        return MountChange.Name(directory: Identity(status), name: name)
    }

    private static func open(_ path: [UInt8]) throws(Errno) -> Descriptor {
        Descriptor(owning: try Syscall.open(path.cString, flags: Flag.path | O_NOFOLLOW))
    }
}
