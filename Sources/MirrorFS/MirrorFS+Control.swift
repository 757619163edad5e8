import FuseSession
import Glibc
import StoreFS
import Syscall
import SystemPackage

extension MirrorFS {
    /// The flags of a file (chattr(1)), and those in `struct fsxattr`. Nothing else is passed on:
    /// most commands refer to a device, or to a descriptor or memory of the caller.
    ///
    /// The kernel checks who may set them (fileattr_set_prepare, fs/ioctl.c; Linux 5.13).
    public func control(
        _ context: RequestContext, node id: NodeID, command: UInt32, input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        switch command {
        case Syscall.getInodeFlags:
            return try get(id, command, size: 4, into: output)
        case Syscall.getExtendedFlags:
            return try get(id, command, size: 28, into: output)
        case Syscall.setInodeFlags:
            try set(context, id, command, size: 4, from: input)
        case Syscall.setExtendedFlags:
            try set(context, id, command, size: 28, from: input)
        default:
            throw Errno(rawValue: ENOTTY)
        }
        return 0
    }

    private func get(
        _ id: NodeID, _ command: UInt32, size: Int, into output: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        guard output.count >= size, let base = output.baseAddress else { throw .invalidArgument }
        try withOpen(try node(id)) { (fd) throws(Errno) in
            try Syscall.control(fd, command: command, argument: base)
        }
        return size
    }

    private func set(
        _ context: RequestContext, _ id: NodeID, _ command: UInt32, size: Int,
        from input: UnsafeRawBufferPointer
    ) throws(Errno) {
        guard input.count >= size, let base = input.baseAddress else { throw .invalidArgument }
        let node = try node(id)
        // Some file systems also show a flag as an extended attribute (btrfs.compression).
        try change(node, .xattrs) { () throws(Errno) in
            try withOpen(node) { (fd) throws(Errno) in
                // A project's quota is charged, and ext4 requires CAP_SYS_RESOURCE for journalling
                // data, which the kernel has not checked.
                try ownership.withinLimits(context) { () throws(Errno) in
                    try Syscall.control(
                        fd, command: command, argument: UnsafeMutableRawPointer(mutating: base))
                }
            }
        }
    }

    /// Opens `node` for `body`; the kernel's own requests have a handle that is used for nothing
    /// else.
    /// - Throws: `ENOTTY` if it is neither a file nor a directory: opening it may have effects.
    private func withOpen(
        _ node: Node, _ body: (FileDescriptor) throws(Errno) -> Void
    ) throws(Errno) {
        let type = try Syscall.status(node.fd).st_mode & S_IFMT
        guard type == S_IFREG || type == S_IFDIR else { throw Errno(rawValue: ENOTTY) }
        let fd = try reopen(node, flags: O_RDONLY | O_NONBLOCK)
        defer { Syscall.close(fd) }
        try body(fd)
    }
}
