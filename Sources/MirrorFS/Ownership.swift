import FuseSession
import Glibc
import Syscall
import SystemPackage

/// Gives what a caller creates to that caller.
///
/// The daemon takes on the caller's file system ids for the call, so the file belongs to the caller
/// from the start: a later chown would show another owner meanwhile, clear set-id bits, and lose
/// the group of a set-group-id directory. It keeps its capabilities: the kernel has checked the
/// caller's permissions (`default_permissions`) with all its groups, which setfsuid(2) does not
/// include, so SOURCE must not refuse again; and it has applied the set-group-id rules to the mode
/// (vfs_prepare_mode, Linux 6.0), so SOURCE must not strip the bit again.
///
/// It does not keep one capability: with `CAP_SYS_RESOURCE` SOURCE's file system would give an
/// ordinary caller the blocks that are reserved for the administrator, and charge a quota beyond
/// its hard limit. Some (ext4, f2fs) also check the file system user, which is root when the daemon
/// acts for itself: so whatever may use space in SOURCE is done with the caller's ids. Callers with
/// uid 0 keep the capability: FUSE does not pass capabilities.
///
/// It also takes on the caller's umask: only SOURCE knows whether the directory has a default
/// access control list, which replaces the umask (acl(5)). If the kernel has already applied the
/// umask, this changes nothing.
struct Ownership: Sendable {
    private let uid = geteuid()
    private let gid = getegid()
    private let capabilities: CapabilitySet
    private let groups = Syscall.supplementaryGroups()
    /// False for an ordinary user's daemon.
    let canSwitch: Bool

    init() {
        capabilities = (try? Syscall.effectiveCapabilities()) ?? []
        canSwitch = capabilities.isSuperset(of: [.setgid, .setuid])
    }

    /// Runs `body` so that what it creates belongs to the caller. Without the privilege to do so it
    /// belongs to the daemon's user.
    func asCaller<R>(
        _ context: RequestContext, _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        try Syscall.setThreadMask(context.umask)
        if context.uid == uid && context.gid == gid { return try body() }
        if !canSwitch { return try body() }
        return try Syscall.withFileSystemIDs(
            uid: context.uid, gid: context.gid, capabilities: capabilities(of: context),
            restoring: capabilities, body)
    }

    /// Runs `body`, which uses space in SOURCE but creates no file, under the limits that SOURCE
    /// sets for the caller. The group stays the daemon's: each change of ids costs a microsecond or
    /// more.
    func withinLimits<R>(
        _ context: RequestContext, _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        if !canSwitch || context.uid == 0 { return try body() }
        return try Syscall.withFileSystemIDs(
            uid: context.uid, gid: gid, capabilities: capabilities(of: context),
            restoring: capabilities, body)
    }

    private func capabilities(of context: RequestContext) -> CapabilitySet {
        context.uid == 0 ? capabilities : capabilities.subtracting(.sysResource)
    }

    /// Runs `body` so that SOURCE clears the set-group-ID bit of what it changes, as it would if
    /// the caller, which is not in the file's group, changed it there.
    func asStranger<R>(
        _ context: RequestContext, _ body: () throws(Errno) -> R
    ) throws(Errno) -> R {
        if !canSwitch { return try body() }
        return try Syscall.withoutSupplementaryGroups(restoring: groups) { () throws(Errno) in
            try Syscall.withFileSystemIDs(
                uid: context.uid, gid: context.gid,
                capabilities: capabilities(of: context).subtracting(.fsetid),
                restoring: capabilities, body)
        }
    }
}
