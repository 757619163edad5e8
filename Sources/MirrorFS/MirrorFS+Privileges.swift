import FuseSession
import Glibc
import Syscall
import SystemPackage

/// What SOURCE's kernel would do or hide for the caller, but not for the daemon, which
/// is privileged. Callers with uid 0 count as privileged: FUSE does not pass capabilities.
extension MirrorFS {
    /// Runs `body`, which changes the data or size of `node`, under the caller's limits, and so
    /// that the set-group-ID bit is cleared where SOURCE would clear it for the caller. The rules
    /// differ between kernels and file systems (setattr_should_drop_sgid of fs/attr.c; Linux 6.1
    /// does not clear it if a hole is punched beyond the end), so SOURCE must decide.
    ///
    /// The kernel has already cleared it if the group may execute, and always the set-user-ID bit
    /// (fuse_setattr of fs/fuse/dir.c). The caller holds the node.
    func changingData<R>(
        _ context: RequestContext, _ node: Node, _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        if context.isWriteback {
            // The writer of a mapping is not known: the owner's limits apply.
            let status = try Syscall.status(node.fd)
            let owner = RequestContext(uid: status.st_uid, gid: status.st_gid)
            return try ownership.withinLimits(owner, body)
        }
        guard let mode = try modeOfForeignGroup(context, node), mode & (S_IXGRP | S_IFMT) == S_IFREG
        else { return try ownership.withinLimits(context, body) }
        return try ownership.asStranger(context, body)
    }

    /// chmod(2). Before a write by an unprivileged caller, the kernel requests that the set-user-ID
    /// and set-group-ID bits be cleared. An unprivileged daemon cannot do this for another user's
    /// file; SOURCE clears them with the write.
    func changeMode(of node: Node, to mode: mode_t) throws(Errno) {
        do throws(Errno) {
            try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
                try Syscall.changeMode(at: .workingDirectory, path, to: mode)
            }
        } catch {
            // The kernel lets no other caller change the mode of another user's file.
            guard error == .notPermitted, !ownership.canSwitch,
                let status = try? Syscall.status(node.fd), status.st_uid != geteuid(),
                status.st_mode & 0o7777 & ~mode & ~(S_ISUID | S_ISGID) == 0,
                mode & ~status.st_mode == 0
            else { throw error }
        }
    }

    /// Clears the set-group-ID bit, unless the caller is in the file's group. The caller holds the
    /// node.
    func clearSetGroupID(_ context: RequestContext, _ node: Node) throws(Errno) {
        guard let mode = try modeOfForeignGroup(context, node) else { return }
        try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
            try Syscall.changeMode(at: .workingDirectory, path, to: mode & 0o7777 & ~S_ISGID)
        }
    }

    /// The mode of `node` if it has the set-group-ID bit and the caller is not in the group.
    private func modeOfForeignGroup(
        _ context: RequestContext, _ node: Node
    ) throws(Errno) -> mode_t? {
        if context.uid == 0 { return nil }
        let status = try Syscall.status(node.fd)
        let isForeign = status.st_mode & S_ISGID != 0 && !context.isMember(of: status.st_gid)
        return isForeign ? status.st_mode : nil
    }

    /// The names of extended attributes at `path` that the caller may see: listxattr(2) hides those
    /// of the trusted class from the unprivileged (xattr(7)).
    /// - Returns: bytes of the list; with an empty `buffer` its size only.
    func visibleNames(
        _ context: RequestContext, at path: UnsafePointer<CChar>,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        if context.uid == 0 {
            return try Syscall.extendedAttributeNames(of: path, into: buffer)
        }
        // XATTR_LIST_MAX: the maximum of a list. The reply is in the other slot.
        let all = try Syscall.threadBuffer(slot: 1, size: 65_536)
        let count = try Syscall.extendedAttributeNames(of: path, into: all)
        var used = 0
        for name in all[..<count].split(separator: 0) {
            if name.starts(with: "trusted.".utf8) { continue }
            if !buffer.isEmpty {
                guard used + name.count < buffer.count else { throw .outOfRange }
                UnsafeMutableRawBufferPointer(rebasing: buffer[used...]).copyBytes(from: name)
                buffer[used + name.count] = 0
            }
            used += name.count + 1
        }
        return used
    }
}
