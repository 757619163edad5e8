import FuseSession
import Glibc
import Syscall
import SystemPackage

/// POSIX access control lists: extended attributes that the kernel reads and obeys (acl(5)).
extension MirrorFS {
    private static let accessList = "system.posix_acl_access"
    private static let label = "security.selinux"
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
    ///
    /// Without SELinux a label that is not there is not supported: ls(1) asks each file for one until it
    /// is told so, by a request each, since no cache of the kernel's keeps extended attributes.
    func readingFailed(_ error: Errno, of name: UnsafePointer<CChar>) -> Errno {
        switch error {
        case .notSupported where isAccessControlList(name): .noData
        case .noData where strcmp(name, Self.label) == 0 && !hasLabels: .notSupported
        default: error
        }
    }

    func isAccessControlList(_ name: UnsafePointer<CChar>) -> Bool {
        strcmp(name, Self.accessList) == 0 || strcmp(name, Self.defaultList) == 0
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
