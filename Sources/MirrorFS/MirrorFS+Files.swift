import FuseSession
import Glibc
import KernelCache
import StoreFS
import Syscall
import SystemPackage

extension MirrorFS {
    public func open(
        _ context: RequestContext, node id: NodeID, flags: Int32
    ) throws(Errno) -> OpenFile {
        // Permanent: the kernel sends it only once.
        if options.opensInKernel { throw .noFunction }
        try descriptors.admitFile()
        let node = try node(id)
        if flags & O_TRUNC != 0 {
            return try change(node, .data) { () throws(Errno) in
                OpenFile(handle: handle(owning: try reopen(node, flags: flags)))
            }
        }
        let fd = try reopen(node, flags: flags)
        if coherence.isAccelerated, flags & (O_ACCMODE | Flag.noAccessTime) == O_RDONLY,
            let file = reserve(node, isCallers: flags & Flag.largeFile != 0)
        {
            Syscall.close(fd)
            return file
        }
        var file = OpenFile(handle: handle(owning: fd))
        // A file that was only read has nothing to flush.
        file.skipsFlush = flags & O_ACCMODE == O_RDONLY
        file.keepsCache = !coherence.isAccelerated && keepsPages(of: node)
        return file
    }

    /// Runs `body` with a descriptor for `handle`: its own or, for a reserved handle, one that is
    /// opened for reading meanwhile.
    func withDescriptor<R>(
        _ node: Node, _ handle: FileHandle, flags: Int32 = 0,
        _ body: (FileDescriptor) throws(Errno) -> R
    ) throws(Errno) -> R {
        guard ReservedHandle.contains(handle) else { return try body(FileDescriptor(handle)) }
        let fd = try reopen(node, flags: O_RDONLY | flags)
        defer { Syscall.close(fd) }
        return try body(fd)
    }

    /// The handle of a file that a program has opened, until `close`.
    func handle(owning fd: FileDescriptor) -> FileHandle {
        descriptors.didOpenFile()
        return FileHandle(fd)
    }

    /// Ends a handle that is not reserved.
    func close(_ handle: FileHandle) {
        Syscall.close(FileDescriptor(handle))
        descriptors.didCloseFile()
    }

    /// Runs `body` with the descriptor of a file that is open for writing; a file that the kernel
    /// opened by itself is opened meanwhile.
    /// - Throws: `EBADF` for a handle from a BPF program, which is only for reading.
    private func withWritable<R>(
        _ node: Node, _ handle: FileHandle, flags: Int32 = O_WRONLY,
        _ body: (FileDescriptor) throws(Errno) -> R
    ) throws(Errno) -> R {
        guard handle == ReservedHandle.unopened else {
            if ReservedHandle.contains(handle) { throw .badFileDescriptor }
            return try body(FileDescriptor(handle))
        }
        let fd = try reopen(node, flags: flags)
        defer { Syscall.close(fd) }
        return try body(fd)
    }

    /// Opens `node` for reading or writing: its own descriptor is only a reference.
    func reopen(_ node: Node, flags: Int32) throws(Errno) -> FileDescriptor {
        let appends = flags & O_APPEND != 0
        var flags = Flag.forSource(flags) & ~(O_CREAT | O_EXCL)
        switch options.accessTimes {
        case .all: break
        case .notOfDirectories: if flags & O_DIRECTORY != 0 { flags |= Flag.noAccessTime }
        case .none: flags |= Flag.noAccessTime
        }
        return try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
            do throws(Errno) {
                return try Syscall.open(path, flags: flags)
            } catch {
                // An append-only file (chattr +a) requires the flag; see `write`. And without
                // privileges, only the owner may use O_NOATIME.
                guard error == .notPermitted, appends || flags & Flag.noAccessTime != 0 else {
                    throw error
                }
                let flags = flags & ~Flag.noAccessTime | (appends ? O_APPEND : 0)
                return try Syscall.open(path, flags: flags)
            }
        }
    }

    public func write(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, offset: Int64,
        appends: Bool, from source: borrowing WriteSource
    ) throws(Errno) -> Int {
        let node = try node(id)
        let flags = O_WRONLY | (appends ? O_APPEND : 0)
        return try withWritable(node, handle, flags: flags) { (fd) throws(Errno) in
            try change(node, .data) { () throws(Errno) in
                // An append-only file: pwrite(2) would append instead.
                if !appends, try Syscall.openFlags(fd) & O_APPEND != 0 { throw .notPermitted }
                return try changingData(context, node) { () throws(Errno) in
                    try source.write(to: fd, at: offset, appends: appends)
                }
            }
        }
    }

    public func flush(
        _ context: RequestContext, node: NodeID, handle: FileHandle
    ) throws(Errno) {
        if options.opensInKernel { throw .noFunction }
        if ReservedHandle.contains(handle) { return }
        try descriptors.withSpare { () throws(Errno) in
            try Syscall.flush(FileDescriptor(handle))
        }
    }

    public func release(node id: NodeID, handle: FileHandle) {
        if ReservedHandle.contains(handle) { return }
        guard coherence.isCaching, let node = nodes.node(id) else { return close(handle) }
        // Closing changes attributes: XFS frees preallocated blocks, in older kernels even for a
        // read-only descriptor. A failure only means that they are not cached.
        _ = try? coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            hold.revoke(nodeid: id, &node.versions)
            close(handle)
            try publish(hold, node)
        }
    }

    public func sync(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, dataOnly: Bool
    ) throws(Errno) {
        let node = try node(id)
        // Also allocates and frees blocks. Not under the node's lock, since it may take long: only
        // attributes change, and new ones are published before they are returned.
        defer { touched(node) }
        try withDescriptor(node, handle) { (fd) throws(Errno) in
            try Syscall.sync(fd, dataOnly: dataOnly)
        }
    }

    public func allocate(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, mode: Int32,
        offset: Int64, length: Int64
    ) throws(Errno) {
        let node = try node(id)
        try withWritable(node, handle) { (fd) throws(Errno) in
            try change(node, .data) { () throws(Errno) in
                try changingData(context, node) { () throws(Errno) in
                    try Syscall.allocate(fd, mode: mode, offset: offset, length: length)
                }
            }
        }
    }

    public func seek(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, offset: Int64,
        whence: Int32
    ) throws(Errno) -> Int64 {
        try withDescriptor(try node(id), handle) { (fd) throws(Errno) in
            try Syscall.seek(fd, to: offset, whence: whence)
        }
    }

    public func copyRange(
        _ context: RequestContext, from source: FileRange, to target: FileRange, count: Int,
        flags: UInt32
    ) throws(Errno) -> Int {
        let sourceNode = try node(source.node)
        let targetNode = try node(target.node)
        let copied = try withDescriptor(sourceNode, source.handle) { (fd) throws(Errno) in
            try withWritable(targetNode, target.handle) { (targetFD) throws(Errno) in
                try change(targetNode, .data) { () throws(Errno) in
                    try changingData(context, targetNode) { () throws(Errno) in
                        try Syscall.copyRange(
                            from: fd, at: source.offset, to: targetFD, at: target.offset,
                            count: count, flags: flags)
                    }
                }
            }
        }
        touched(sourceNode)
        return copied
    }
}
