import FuseSession
import Glibc
import Syscall
import SystemPackage

extension MirrorFS {
    public func open(
        _ context: RequestContext, node id: NodeID, flags: Int32
    ) throws(Errno) -> OpenFile {
        let node = try node(id)
        if flags & O_TRUNC != 0 {
            return try change(node) { (_) throws(Errno) in
                OpenFile(handle: FileHandle(try reopen(node, flags: flags)))
            }
        }
        return OpenFile(handle: FileHandle(try reopen(node, flags: flags)))
    }

    /// Opens `node` for reading or writing: its own descriptor is only a reference.
    func reopen(_ node: Node, flags: Int32) throws(Errno) -> FileDescriptor {
        let appends = flags & O_APPEND != 0
        let flags = Flag.forSource(flags) & ~(O_CREAT | O_EXCL)
        return try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
            do throws(Errno) {
                return try Syscall.open(path, flags: flags)
            } catch {
                // A file that may only grow (chattr +a) wants the flag; see `write`.
                guard error == .notPermitted, appends else { throw error }
                return try Syscall.open(path, flags: flags | O_APPEND)
            }
        }
    }

    public func read(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, offset: Int64,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> ReadResult {
        let node = try node(id)
        let fd = FileDescriptor(handle)
        // Sent by splice(2) after this returns, so too late for the access time; and below this
        // size its system calls cost more than the copy.
        if !coherence.isAccelerated, buffer.count >= 1 << 16 {
            return .file(fd, offset: offset)
        }
        let count = try Syscall.read(fd, at: offset, into: buffer)
        touched(node)
        return .bytes(count)
    }

    public func write(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, offset: Int64,
        appends: Bool, from source: borrowing WriteSource
    ) throws(Errno) -> Int {
        let node = try node(id)
        let fd = FileDescriptor(handle)
        return try change(node) { (_) throws(Errno) in
            try dataChanges(context, node)
            // A file that may only grow: pwrite(2) would append instead.
            if !appends, try Syscall.openFlags(fd) & O_APPEND != 0 { throw .notPermitted }
            return try source.write(to: fd, at: offset, appends: appends)
        }
    }

    public func flush(
        _ context: RequestContext, node: NodeID, handle: FileHandle
    ) throws(Errno) {
        try Syscall.flush(FileDescriptor(handle))
    }

    public func release(node id: NodeID, handle: FileHandle) {
        let fd = FileDescriptor(handle)
        guard coherence.isAccelerated, let node = nodes.node(id) else {
            return Syscall.close(fd)
        }
        // Closing changes attributes: XFS frees what it allocated ahead, in older kernels also when
        // the descriptor only reads. A failure only means: not cached.
        _ = try? change(node) { (hold) throws(Errno) in
            Syscall.close(fd)
            try publish(hold, node)
        }
    }

    public func sync(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, dataOnly: Bool
    ) throws(Errno) {
        let node = try node(id)
        // Also allocates and frees. Not under the node's lock, since it may take long: only
        // attributes change, and whoever sees new ones has published them.
        defer { touched(node) }
        try Syscall.sync(FileDescriptor(handle), dataOnly: dataOnly)
    }

    public func allocate(
        _ context: RequestContext, node id: NodeID, handle: FileHandle, mode: Int32,
        offset: Int64, length: Int64
    ) throws(Errno) {
        let node = try node(id)
        try change(node) { (_) throws(Errno) in
            try dataChanges(context, node)
            try Syscall.allocate(
                FileDescriptor(handle), mode: mode, offset: offset, length: length)
        }
    }

    public func seek(
        _ context: RequestContext, node: NodeID, handle: FileHandle, offset: Int64, whence: Int32
    ) throws(Errno) -> Int64 {
        try Syscall.seek(FileDescriptor(handle), to: offset, whence: whence)
    }

    public func copyRange(
        _ context: RequestContext, from source: FileRange, to target: FileRange, count: Int,
        flags: UInt32
    ) throws(Errno) -> Int {
        let sourceNode = try node(source.node)
        let targetNode = try node(target.node)
        let copied = try change(targetNode) { (_) throws(Errno) in
            try dataChanges(context, targetNode)
            return try Syscall.copyRange(
                from: FileDescriptor(source.handle), at: source.offset,
                to: FileDescriptor(target.handle), at: target.offset, count: count,
                flags: flags)
        }
        touched(sourceNode)
        return copied
    }
}
