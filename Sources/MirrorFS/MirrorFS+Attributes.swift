import FuseSession
import Glibc
import KernelCache
import StoreFS
import Syscall
import SystemPackage

extension MirrorFS {
    public func setAttributes(
        _ context: RequestContext, of id: NodeID, handle: FileHandle?,
        to changes: AttributeChanges
    ) throws(Errno) -> Attributes {
        let node = try node(id)
        var scope: ChangeScope = []
        if changes.size != nil { scope.insert(.data) }
        // Access control lists and capabilities change with them.
        if changes.mode != nil || changes.uid != nil || changes.gid != nil {
            scope.insert(.xattrs)
        }
        return try change(node, scope) { () throws(Errno) in
            // The owner first: chown(2) clears set-id bits, chmod(2) may set them. A request
            // without changes is a chown(2) that changes neither id: it changes the ctime.
            if changes.uid != nil || changes.gid != nil || changes.isEmpty {
                // The file's usage is charged to another quota.
                try ownership.withinLimits(context) { () throws(Errno) in
                    try Syscall.changeOwner(
                        node.fd, uid: changes.uid ?? uid_t.max, gid: changes.gid ?? gid_t.max)
                }
            }
            if let mode = changes.mode {
                try changeMode(of: node, to: mode & 0o7777)
            }
            if let size = changes.size {
                try truncate(context, node, handle, size)
            }
            // Last: truncating sets the modification time.
            if changes.accessTime != nil || changes.modificationTime != nil {
                try Syscall.changeTimes(
                    node.fd, access: timespec(changes.accessTime),
                    modification: timespec(changes.modificationTime))
            }
            // Not to be kept: older kernels apply it whatever notifications they got meanwhile.
            return Attributes(try status(node.fd))
        }
    }

    private func truncate(
        _ context: RequestContext, _ node: Node, _ handle: FileHandle?, _ size: Int64
    ) throws(Errno) {
        let truncate = { (fd: FileDescriptor) throws(Errno) in
            try self.changingData(context, node) { () throws(Errno) in
                try Syscall.truncate(fd, size: size)
            }
        }
        if let handle, !ReservedHandle.contains(handle) {
            return try truncate(FileDescriptor(handle))
        }
        let fd = try reopen(node, flags: O_WRONLY)
        defer { Syscall.close(fd) }
        try truncate(fd)
    }

    public func access(
        _ context: RequestContext, node id: NodeID, mask: Int32
    ) throws(Errno) {
        // Only without default_permissions; not with access(2), which would check the daemon.
        let status = try Syscall.status(try node(id).fd)
        let wanted = mode_t(truncatingIfNeeded: mask) & 0o7
        if context.uid == 0 {
            let executable = status.st_mode & 0o111 != 0 || status.st_mode & S_IFMT == S_IFDIR
            if wanted & 1 == 0 || executable { return }
            throw .permissionDenied
        }
        let granted =
            context.uid == status.st_uid
            ? status.st_mode >> 6
            : context.isMember(of: status.st_gid) ? status.st_mode >> 3 : status.st_mode
        if wanted & ~granted != 0 { throw .permissionDenied }
    }

    public func readLink(
        _ context: RequestContext, node id: NodeID, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let node = try node(id)
        let count =
            options.accessTimes == .none
            ? try Syscall.readLinkUnnoticed(node.fd, into: buffer)
            : try Syscall.readLink(node.fd, into: buffer)
        // It never changes, so it may be read before the lock.
        try publishReply(of: node, .readLink) {
            CachedReply(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        return count
    }

    public func statistics(
        _ context: RequestContext, of id: NodeID
    ) throws(Errno) -> statvfs {
        let node = try node(id)
        guard coherence.isAccelerated else { return try Syscall.fileSystemStatus(node.fd) }
        statisticsKeeper.keep(id) { [weak self] in self?.refreshStatistics(of: id) }
        return try publishStatistics(of: node).statistics
    }

    /// - Returns: whether the kernel has answered with the previous ones.
    private func refreshStatistics(of id: NodeID) -> Bool? {
        let token = requestBegins()
        defer { requestEnds(token) }
        return nodes.node(id).flatMap { try? publishStatistics(of: $0).wereUsed }
    }

    private func publishStatistics(
        of node: Node
    ) throws(Errno) -> (statistics: statvfs, wereUsed: Bool) {
        let statistics = try Syscall.fileSystemStatus(node.fd)
        let wereUsed = try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            let wereUsed = hold.areStatisticsUsed(nodeid: node.id)
            hold.publish(nodeid: node.id, .statistics, CachedReply(statistics), node.versions)
            return wereUsed
        }
        return (statistics, wereUsed)
    }
}

extension timespec {
    /// In the form that utimensat(2) expects.
    fileprivate init(_ time: AttributeChanges.Time?) {
        switch time {
        case nil: self = Syscall.timeOmitted
        case .now: self = Syscall.timeNow
        case .at(let seconds, let nanoseconds):
            self.init(tv_sec: seconds, tv_nsec: nanoseconds)
        }
    }
}
