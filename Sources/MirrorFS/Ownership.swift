import FuseSession
import Glibc
import Syscall
import SystemPackage

/// Gives what a caller creates to that caller.
///
/// The daemon takes the caller's file system ids for the call, so the file belongs to them from the
/// start: a chown afterwards would show another owner meanwhile, clear set-id bits, and lose the
/// group of a set-group-id directory. It keeps its capabilities: the kernel has checked the
/// caller's permission (`default_permissions`) with all their groups, which setfsuid(2) does not
/// bring along, so SOURCE must not refuse again; and it has applied the set-group-id rules to the
/// mode (vfs_prepare_mode, Linux 6.0), so SOURCE must not strip the bit again.
///
/// It also takes the caller's umask: only SOURCE knows whether the directory has a default access
/// control list, which takes the umask's place (acl(5)). Where the kernel has applied the umask
/// already, that changes nothing.
struct Ownership: Sendable {
    private let uid = geteuid()
    private let gid = getegid()
    private let capabilities: UInt64
    private let groups = Syscall.supplementaryGroups()
    private let canSwitch: Bool

    // Of capabilities(7).
    private static let fsetid: UInt64 = 1 << 4
    private static let setgid: UInt64 = 1 << 6
    private static let setuid: UInt64 = 1 << 7

    init() {
        let needed = Self.setgid | Self.setuid
        capabilities = (try? Syscall.effectiveCapabilities()) ?? 0
        canSwitch = capabilities & needed == needed
    }

    /// Runs `body` so that what it creates belongs to the caller. Without the privilege to do so it
    /// belongs to the daemon's user.
    func asCaller<R>(
        _ context: RequestContext, _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        try Syscall.setThreadMask(context.umask)
        if !canSwitch || (context.uid == uid && context.gid == gid) { return try body() }
        return try Syscall.withFileSystemIDs(
            uid: context.uid, gid: context.gid, capabilities: capabilities,
            restoring: capabilities, body)
    }

    /// Runs `body` so that SOURCE takes the set-group-ID bit from what it changes, as it would if
    /// the caller, who is not in the file's group, changed it there.
    func asStranger<R>(
        _ context: RequestContext, _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        if !canSwitch { return try body() }
        return try Syscall.withoutSupplementaryGroups(restoring: groups) { () throws(Errno) in
            try Syscall.withFileSystemIDs(
                uid: uid, gid: context.gid, capabilities: capabilities & ~Self.fsetid,
                restoring: capabilities, body)
        }
    }
}
