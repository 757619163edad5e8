import Glibc
import MountRegistry
import Syscall
import SystemPackage

extension OrdinaryUser {
    /// What such a mount has not, for whoever made it and for `status`.
    static var limits: String {
        "mounted by user \(geteuid()), not by root: no maps in the kernel, and whatever anybody does here "
            + "is done in SOURCE as this user"
    }

    /// Has fusermount3 accept what is asked of it, as far as that can be told before; its own words go
    /// to standard error, and name no mend.
    static func check(_ options: MountOptions, accelerate: Mount.Accelerate) throws(Failure) {
        if let option = options.forRootAlone.first {
            throw Failure("-o \(option): for root alone; leave it out, or run this with sudo")
        }
        if accelerate == .require {
            throw Failure(
                "--accelerate require: for root alone; leave it out, or run this with sudo")
        }
        if options.admitsOthers, !permitsOthers(Files.text(configuration) ?? "") {
            throw Failure(
                "-o \(options.admitsOthers(as: "allow_root") ? "allow_root" : "allow_other"): "
                    + "not permitted to users; leave it out, or have root write the line "
                    + "user_allow_other into \(configuration)")
        }
        try checkDevice()
        guard Tool.path(Fusermount.name) != nil else {
            throw Failure(
                "mount: no \(Fusermount.name); install the package fuse3, or run this with sudo")
        }
    }

    /// libfuse opens it as this user.
    private static func checkDevice() throws(Failure) {
        let device: Path = "/dev/fuse"
        do throws(Errno) {
            Syscall.close(try Syscall.open(device.cString, flags: O_RDWR))
        } catch {
            let mend =
                error == .permissionDenied
                ? "as root: chmod 666 \(device)" : "as root: modprobe fuse"
            throw Failure("\(device): \(error); \(mend)")
        }
    }

    /// What fusermount3 demands of a directory to mount on.
    static func checkPlace(_ mountpoint: Path) throws(Failure) {
        var found = stat()
        guard stat(mountpoint.cString, &found) == 0 else { return }
        let isSticky = found.st_mode & S_ISVTX != 0
        guard access(mountpoint.cString, W_OK) == 0, !isSticky || found.st_uid == geteuid() else {
            throw Failure(
                "\(mountpoint): MOUNTPOINT is not yours; choose a directory of your own, or run this "
                    + "with sudo")
        }
    }

    private static let configuration: Path = "/etc/fuse.conf"

    /// - Parameter text: of fuse.conf(5).
    static func permitsOthers(_ text: String) -> Bool {
        text.split(separator: "\n").contains { trimmed(String($0)) == "user_allow_other" }
    }
}
