import Glibc
import StoreFS
import Synchronization
import Syscall
import SystemPackage

/// Where the mounts below SOURCE are, for opening files there by handle without keeping one open,
/// so that umount(8) finds the mounts unused. SOURCE's own mount is not included.
final class MountPlaces: Sendable {
    private struct Place: Sendable {
        /// The number of the mount, which is reused after it.
        var mount: Int32
        var mountpoint: [UInt8]
        /// As in the table of mounts: files may have another one (btrfs).
        let device: dev_t
        /// `f_fsid` of the mount's root: device numbers are reused.
        let fileSystem: UInt64
        /// The devices of the files that were found there; each subvolume has its own.
        var seen: Set<UInt64> = []
    }

    /// By a number that is never reused.
    private struct Places {
        var all: [Place] = []
        var byMount: [Int32: Int32] = [:]
    }

    private let places = Mutex(Places())

    /// Records where the mount of `fd` is.
    /// - Parameter id: the number of that mount.
    /// - Returns: the number for `open`.
    /// - Throws: `ENOENT` if the mount is not in this process's namespace, `ESTALE` if another one
    ///   is on top of it.
    func note(_ id: Int32, _ fd: FileDescriptor) throws(Errno) -> Int32 {
        let fileSystem = try Syscall.fileSystemID(fd)
        let known = places.withLock { places in
            places.byMount[id].flatMap { number in
                places.all[Int(number)].seen.contains(fileSystem) ? number : nil
            }
        }
        if let known { return known }
        guard let mount = try Syscall.mounts().first(where: { $0.id == id }) else {
            throw .noSuchFileOrDirectory
        }
        let root = try Self.root(at: mount.mountpoint, of: id)
        var place = Place(
            mount: id, mountpoint: mount.mountpoint, device: mount.device,
            fileSystem: try Syscall.fileSystemID(root.fd))
        return places.withLock { places in
            if let number = places.byMount[id] {
                let old = places.all[Int(number)]
                if old.device == place.device, old.fileSystem == place.fileSystem {
                    places.all[Int(number)].seen.insert(fileSystem)
                    return number
                }
            }
            let number = Int32(places.all.count)
            place.seen = [fileSystem]
            places.all.append(place)
            places.byMount[id] = number
            return number
        }
    }

    /// Opens a file by handle at place `number`.
    /// - Throws: `ESTALE` if the file or its file system no longer exists.
    func open(_ handle: InodeHandle, at number: Int32) throws(Errno) -> FileDescriptor {
        let place = places.withLock { $0.all[Int(number)] }
        if let root = try? root(of: place) {
            return try Syscall.open(handle, on: root.fd, flags: Flag.path)
        }
        let mounts = try Syscall.mounts().filter { $0.device == place.device }
        // A directory above it may have been renamed; or it was unmounted and mounted again.
        guard
            let mount = mounts.first(where: { $0.id == place.mount })
                ?? mounts.last(where: { $0.mountpoint == place.mountpoint })
        else { throw .staleNFSFileHandle }
        var moved = place
        moved.mount = mount.id
        moved.mountpoint = mount.mountpoint
        let root = try root(of: moved)
        places.withLock {
            $0.all[Int(number)].mount = moved.mount
            $0.all[Int(number)].mountpoint = moved.mountpoint
        }
        return try Syscall.open(handle, on: root.fd, flags: Flag.path)
    }

    /// - Throws: `ESTALE` if another file system is there.
    private func root(of place: Place) throws(Errno) -> Descriptor {
        let root = try Self.root(at: place.mountpoint, of: place.mount)
        guard try Syscall.fileSystemID(root.fd) == place.fileSystem else {
            throw .staleNFSFileHandle
        }
        return root
    }

    /// Opens the mountpoint, because handles cannot be opened with a path. Does not follow symbolic
    /// links, and checks that it is that mount.
    /// - Throws: `ESTALE` if mount `id` is not there.
    private static func root(
        at mountpoint: [UInt8], of id: Int32
    ) throws(Errno) -> Descriptor {
        let found = Descriptor(
            owning: try Syscall.open(mountpoint.cString, flags: Flag.path | O_NOFOLLOW))
        let kind = try Syscall.status(found.fd).st_mode & S_IFMT
        guard kind == S_IFDIR || kind == S_IFREG, try Syscall.handle(of: found.fd).mountID == id
        else { throw .staleNFSFileHandle }
        return try DescriptorPath(found.fd).withPointer { (path) throws(Errno) in
            Descriptor(
                owning: try Syscall.open(path, flags: O_RDONLY | O_NONBLOCK | Flag.noAccessTime))
        }
    }
}
