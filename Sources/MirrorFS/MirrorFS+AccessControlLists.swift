import FuseSession
import Glibc
import Syscall
import SystemPackage

/// POSIX access control lists: extended attributes that the kernel reads and obeys (acl(5)).
extension MirrorFS {
    private static let accessList = "system.posix_acl_access"
    private static let defaultList = "system.posix_acl_default"

    /// False if SOURCE's file system has no such lists, or is mounted without.
    var keepsAccessControlLists: Bool {
        guard let root = nodes.node(rootNodeID) else { return false }
        do throws(Errno) {
            let empty = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            _ = try DescriptorPath(root.fd).withPointer { (path) throws(Errno) in
                try Syscall.extendedAttribute(of: path, Self.accessList, into: empty)
            }
            return true
        } catch {
            return error == .noData
        }
    }

    /// The error to answer GETXATTR with.
    ///
    /// A file system below SOURCE may have no lists where SOURCE's own has them, and a permission
    /// check fails with whatever the kernel cannot read a list for: there, no list is none.
    func readingFailed(_ error: Errno, of name: UnsafePointer<CChar>) -> Errno {
        guard error == .notSupported,
            strcmp(name, Self.accessList) == 0 || strcmp(name, Self.defaultList) == 0
        else { return error }
        return .noData
    }

    /// Takes the set-group-ID bit away after SETXATTR of `name`, where SOURCE would have for the
    /// caller but not for the daemon: a new list clears it unless the caller is in the file's group
    /// (posix_acl_update_mode of fs/posix_acl.c). The kernel asks for it by
    /// `FUSE_SETXATTR_ACL_KILL_SGID`, which libfuse 3.14 does not hand on.
    func listWasSet(
        _ context: RequestContext, _ node: Node, _ name: UnsafePointer<CChar>
    ) throws(Errno) {
        guard strcmp(name, Self.accessList) == 0 else { return }
        try clearSetGroupID(context, node)
    }
}
