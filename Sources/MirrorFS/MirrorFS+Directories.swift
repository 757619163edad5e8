import FuseSession
import Glibc
import KernelCache
import StoreFS
import Syscall
import SystemPackage

/// Handles are plain descriptors, or reserved, and offsets are SOURCE's (`d_off`). Nothing is kept
/// between requests, so names may be added and removed while a directory is read, as getdents64(2)
/// allows.
extension MirrorFS {
    public func openDirectory(
        _ context: RequestContext, node id: NodeID, flags: Int32
    ) throws(Errno) -> OpenFile {
        if options.opensInKernel { throw .noFunction }
        try descriptors.admitFile(isDirectory: true)
        let node = try node(id)
        let fd = try reopen(node, flags: (flags & ~O_ACCMODE) | O_RDONLY | O_DIRECTORY)
        var file = OpenFile(handle: handle(owning: fd))
        guard coherence.keepsPages, node.isCached else { return file }
        // The kernel's own listing is as exact as its attributes: at each start it requests and
        // compares the modification time. What does not change that (a new parent) changes the
        // version.
        file.cachesEntries = true
        file.keepsCache = keepsListing(of: node)
        return file
    }

    public func readDirectory(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, offset: Int64,
        into entries: inout DirectoryBuffer
    ) throws(Errno) {
        let node = try node(id)
        // An entry of 24 bytes from SOURCE takes 32 in the reply; all others have a smaller ratio.
        // So what is read fits, and the position is right for the next request without a seek.
        let size = entries.capacity / 4 * 3
        try forEachEntry(node, handle, offset, size: size) { (entry) throws(Errno) in
            entries.append(
                name: entry.name, inode: numbers.shown(entry.inode, on: node.identity.device),
                mode: entry.mode, next: entry.next)
        }
    }

    public func readDirectoryPlus(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, offset: Int64,
        into entries: inout DirectoryBuffer
    ) throws(Errno) {
        let node = try node(id)
        // As above, 24 bytes to 160.
        let size = entries.capacity / 20 * 3
        try forEachEntry(node, handle, offset, size: size, hasNodes: true) {
            (entry) throws(Errno) in
            guard !isDotOrDotDot(entry.name) else {
                return entries.append(
                    name: entry.name, inode: numbers.shown(entry.inode, on: node.identity.device),
                    mode: entry.mode, next: entry.next)
            }
            do throws(Errno) {
                let found = try coherence.reading(namesOf: id) { (names) throws(Errno) in
                    try find(names, Place(directory: node, name: entry.name), made: false)
                }
                let fits = entries.append(name: entry.name, entry: found, next: entry.next)
                if !fits { forget(node: found.nodeID, count: 1) }
                return fits
            } catch {
                // Removed meanwhile: not listed. Otherwise listed; a LOOKUP of it will return the
                // error.
                if error == .noSuchFileOrDirectory { return true }
                return entries.append(
                    name: entry.name, inode: numbers.shown(entry.inode, on: node.identity.device),
                    mode: entry.mode, next: entry.next)
            }
        }
    }

    public func releaseDirectory(node: NodeID, handle: FileHandle) {
        if !ReservedHandle.contains(handle) { close(handle) }
    }

    public func syncDirectory(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, dataOnly: Bool
    ) throws(Errno) {
        try withDescriptor(try node(id), handle, flags: O_DIRECTORY) { (fd) throws(Errno) in
            try Syscall.sync(fd, dataOnly: dataOnly)
        }
    }

    /// Reads entries from `offset` on, about `size` bytes, until `body` returns false.
    /// - Throws: `EINVAL` if not even one fits, as getdents64(2) does.
    private func forEachEntry(
        _ node: Node, _ handle: FileHandle, _ offset: Int64, size: Int, hasNodes: Bool = false,
        _ body: (DirectoryEntry) throws(Errno) -> Bool
    ) throws(Errno) {
        try listing(of: node, from: offset, hasNodes: hasNodes) { () throws(Errno) in
            var fitting = 0
            let more = try withDescriptor(node, handle, flags: O_DIRECTORY) {
                (fd) throws(Errno) -> Bool in
                let buffer = try Syscall.threadBuffer(
                    slot: 1, size: max(size, Syscall.directoryBufferMinimum))
                _ = try Syscall.seek(fd, to: offset, whence: SEEK_SET)
                return try Syscall.readDirectory(fd, using: buffer) { (entry) throws(Errno) in
                    guard try body(entry) else { return false }
                    fitting += 1
                    return true
                }
            }
            if more, fitting == 0 { throw .invalidArgument }
            return fitting
        }
    }
}
