import CFuse3
import Glibc

/// The caller of a request.
public struct RequestContext {
    public let uid: uid_t
    public let gid: gid_t
    /// 0 if unknown in the daemon's pid namespace, or if the kernel sends the request by itself.
    public let pid: pid_t
    /// Already applied to the mode by the kernel, unless `Capabilities.leavesMask` is on. 0 if the
    /// request creates no file.
    public let umask: mode_t
    /// A WRITE of pages of a mapping, which the kernel sends by itself: the ids have no meaning.
    public internal(set) var isWriteback = false
    private let request: fuse_req_t?

    /// A caller without a request: for operations called directly.
    public init(uid: uid_t, gid: gid_t, pid: pid_t = 0, umask: mode_t = 0) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.umask = umask
        request = nil
    }

    init(_ request: fuse_req_t?) {
        self.request = request
        guard let request, let context = fuse_req_ctx(request) else {
            (uid, gid, pid, umask) = (uid_t.max, gid_t.max, 0, 0)
            return
        }
        uid = context.pointee.uid
        gid = context.pointee.gid
        pid = context.pointee.pid
        umask = context.pointee.umask
    }

    /// True if the caller is in `group`. Reads /proc/PID/status if it is not the caller's primary
    /// group: slow, and unreliable once the caller has exited.
    public func isMember(of group: gid_t) -> Bool {
        if group == gid { return true }
        guard let request else { return false }
        // 65,536: NGROUPS_MAX of credentials(7).
        return withUnsafeTemporaryAllocation(of: gid_t.self, capacity: 65_536) { groups in
            let count = fuse_req_getgroups(
                request, Int32(truncatingIfNeeded: groups.count), groups.baseAddress)
            guard count > 0 else { return false }
            return groups.prefix(Int(count)).contains(group)
        }
    }
}
