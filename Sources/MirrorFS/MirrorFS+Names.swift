import FuseSession
import Glibc
import KernelCache
import StoreFS
import Syscall
import SystemPackage

extension MirrorFS {
    public func makeNode(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t,
        device: dev_t
    ) throws(Errno) -> Entry {
        let place = Place(directory: try node(parent), name: name)
        return try make(place) { () throws(Errno) in
            try ownership.asCaller(context) { () throws(Errno) in
                try Syscall.makeNode(
                    at: place.directory.fd, name, mode: mode, device: device)
            }
        }
    }

    public func makeDirectory(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t
    ) throws(Errno) -> Entry {
        let place = Place(directory: try node(parent), name: name)
        return try make(place) { () throws(Errno) in
            try ownership.asCaller(context) { () throws(Errno) in
                try Syscall.makeDirectory(at: place.directory.fd, name, mode: mode)
            }
        }
    }

    public func makeSymlink(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>,
        target: UnsafePointer<CChar>
    ) throws(Errno) -> Entry {
        let place = Place(directory: try node(parent), name: name)
        return try make(place) { () throws(Errno) in
            try ownership.asCaller(context) { () throws(Errno) in
                try Syscall.makeSymlink(target, at: place.directory.fd, name)
            }
        }
    }

    public func makeLink(
        _ context: RequestContext, to target: NodeID, parent: NodeID,
        name: UnsafePointer<CChar>
    ) throws(Errno) -> Entry {
        let target = try node(target)
        let place = Place(directory: try node(parent), name: name)
        return try make(place, and: [target]) { () throws(Errno) in
            try DescriptorPath(target.fd).withPointer { (path) throws(Errno) in
                try ownership.withinLimits(context) { () throws(Errno) in
                    try Syscall.makeLink(
                        at: .workingDirectory, path, to: place.directory.fd, name,
                        flags: AT_SYMLINK_FOLLOW)
                }
            }
        }
    }

    public func removeFile(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) {
        let place = Place(directory: try node(parent), name: name)
        try change([place], removing: place) { () throws(Errno) in
            try pinTarget(of: place)
            try Syscall.remove(at: place.directory.fd, name)
        }
    }

    public func removeDirectory(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) {
        let place = Place(directory: try node(parent), name: name)
        try change([place]) { () throws(Errno) in
            try pinTarget(of: place)
            try Syscall.remove(at: place.directory.fd, name, flags: AT_REMOVEDIR)
        }
    }

    public func rename(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>,
        newParent: NodeID, newName: UnsafePointer<CChar>, flags: UInt32
    ) throws(Errno) {
        let old = Place(directory: try node(parent), name: name)
        let new = Place(directory: try node(newParent), name: newName)
        let rename = { () throws(Errno) in
            try Syscall.rename(
                at: old.directory.fd, name, to: new.directory.fd, newName, flags: flags)
        }
        // A directory with a new parent has a new "..", which does not change the modification
        // time.
        let moves = old.directory.id != new.directory.id
        let scope = { (status: stat) -> ChangeScope in
            moves && status.st_mode & S_IFMT == S_IFDIR ? .names : []
        }
        let replaces = flags & Syscall.renameExchange == 0
        try change([old, new], scope: scope, removing: replaces ? new : nil) {
            () throws(Errno) in
            try pinTarget(of: new)
            // Without it, the old name would lead to a file that this creates.
            if flags & Syscall.renameWhiteout == 0 {
                try ownership.withinLimits(context, rename)
            } else {
                try ownership.asCaller(context, rename)
            }
            for place in [old, new] { noteOrigin(of: named(at: place), place) }
        }
    }

    public func create(
        _ context: RequestContext, parent: NodeID, name: UnsafePointer<CChar>, mode: mode_t,
        flags: Int32
    ) throws(Errno) -> (entry: Entry, file: OpenFile) {
        if !options.opensInKernel { try descriptors.admitFile() }
        let place = Place(directory: try node(parent), name: name)
        // A symlink may have been created in SOURCE since the kernel's lookup: the daemon must not
        // follow it.
        let flags = Flag.forSource(flags) | O_CREAT | O_NOFOLLOW | options.accessTimes.flag
        let scope = { (_: stat) -> ChangeScope in flags & O_TRUNC != 0 ? .data : [] }
        return try change([place], scope: scope) { () throws(Errno) in
            try ownership.asCaller(context) { () throws(Errno) in
                try Syscall.open(
                    at: place.directory.fd, name, flags: flags, mode: mode & 0o7777)
            }
        } then: { (names, fd) throws(Errno) in
            do throws(Errno) {
                let entry = try find(names, place, made: true)
                if options.opensInKernel {
                    // There will be no RELEASE.
                    Syscall.close(fd)
                    return (entry, OpenFile(handle: ReservedHandle.unopened))
                }
                return (entry, OpenFile(handle: handle(owning: fd)))
            } catch {
                Syscall.close(fd)
                throw error
            }
        }
    }

    /// The node of the file at `place`, if it has no handle.
    private func named(at place: Place<Node>) -> Node? {
        guard descriptors.origins.areKept,
            let status = try? Syscall.status(at: place.directory.fd, place.name)
        else { return nil }
        return nodes.node(Identity(status))
    }

    /// Call this before the file at `place` may lose its last name: from then on only a descriptor
    /// keeps it. The caller holds the names of the directory.
    /// - Throws: what opening it throws, such as `EMFILE`: programs that have it open must not lose
    ///   it.
    private func pinTarget(of place: Place<Node>) throws(Errno) {
        guard let status = try? Syscall.status(at: place.directory.fd, place.name) else { return }
        try nodes.node(Identity(status))?.pin()
    }
}
