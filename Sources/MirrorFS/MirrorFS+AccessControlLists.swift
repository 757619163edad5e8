import FuseSession
import Glibc
import Syscall
import SystemPackage

/// POSIX access control lists: extended attributes that the kernel reads and enforces (acl(5)).
extension MirrorFS {
    private static let accessList = "system.posix_acl_access"
    private static let label = "security.selinux"
    private static let defaultList = "system.posix_acl_default"

    /// False if SOURCE's file system has no such lists, or is mounted without them.
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

    /// The error with which to reply to GETXATTR.
    ///
    /// A file system below SOURCE may not support lists although SOURCE's own does, and permission
    /// checks fail with the error for which the kernel cannot read a list: there, the error is that
    /// no list exists.
    ///
    /// Without SELinux, a missing label is reported as not supported: otherwise ls(1) requests the
    /// label of each file, since the kernel does not cache extended attributes.
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

    /// Clears the set-group-ID bit after SETXATTR of `name`, where SOURCE would have done so for
    /// the caller but not for the daemon: a new list clears it unless the caller is in the file's
    /// group (posix_acl_update_mode of fs/posix_acl.c). The kernel requests this with
    /// `FUSE_SETXATTR_ACL_KILL_SGID`, which libfuse 3.14 does not pass on.
    func listWasSet(
        _ context: RequestContext, _ node: Node, _ name: UnsafePointer<CChar>
    ) throws(Errno) {
        guard strcmp(name, Self.accessList) == 0 else { return }
        try clearSetGroupID(context, node)
    }
}
