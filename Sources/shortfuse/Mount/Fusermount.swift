import Glibc
import MountRegistry
import SystemPackage

/// Takes mounts off: by umount2(2), and for those who may not by fusermount3(1).
enum Fusermount {
    static let name = "fusermount3"

    /// - Parameter lazily: also if it is in use.
    /// - Throws: `EBUSY`; for users `EPERM` for whatever fusermount3 has against it.
    static func unmount(_ mountpoint: Path, lazily: Bool) throws(Errno) {
        let flags = DeadMount.umountNoFollow | (lazily ? CInt(MNT_DETACH) : 0)
        if umount2(mountpoint.cString, flags) == 0 { return }
        let error = Errno.last
        guard error == .notPermitted, OrdinaryUser.isCurrent else { throw error }
        let options = ["-u"] + (lazily ? ["-z"] : [])
        guard
            let result = Tool.complaint(name, options + ["--", mountpoint.argument])
        else { throw error }
        if result.status == 0 { return }
        // All that it tells is a text.
        throw result.text.hasSuffix(String(cString: strerror(EBUSY))) ? .resourceBusy : error
    }
}
