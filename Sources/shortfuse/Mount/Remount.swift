import Glibc
import MountRegistry
import SystemPackage

/// `mount -o remount,…`: changes the flags of a mount that is in use. All else is the daemon's, and
/// stays until the mount is made again.
struct Remount {
    let options: MountOptions
    let mountpoint: Path

    func run() throws(Failure) {
        guard !OrdinaryUser.isCurrent else {
            throw Failure(
                "-o remount: for root alone; run it with sudo, or unmount it and mount it again")
        }
        let place: Path
        do {
            place = try Paths.canonical(mountpoint)
        } catch {
            throw Failure("\(mountpoint): MOUNTPOINT: \(error); check the path")
        }
        let state = try RuntimeDirectory(mountpoint: place).state()
        guard let top = try MountTable.top(at: place),
            top.type == "fuse.shortfuse" || (top.device == state?.device)
        else {
            throw Failure(
                "\(place): remount: not a shortfuse mount; `shortfuse status` lists the mounts")
        }
        try requireSame(as: state?.options ?? [])
        var found = statvfs()
        guard statvfs(place.cString, &found) == 0 else {
            throw Failure("\(place): remount: \(Errno.last); `shortfuse status` tells more")
        }
        var flags = MountFlags(status: found.f_flag)
        for word in options.flags { flags.apply(word) }
        guard mount(nil, place.cString, nil, flags.bits | UInt(MS_REMOUNT), nil) == 0
        else {
            let error = Errno.last
            let mend =
                error == .resourceBusy
                ? "files are open for writing; close them, and try again" : "check the options"
            throw Failure("\(place): remount: \(error); \(mend)")
        }
    }

    /// mount(8) gives all options again: of fstab, and those that the kernel shows.
    private func requireSame(as mounted: [String]) throws(Failure) {
        for setting in options.settings where !mounted.contains(setting) {
            throw Failure(
                "-o \(setting): cannot be changed by remount; "
                    + "unmount \(mountpoint) and mount it again")
        }
    }
}
