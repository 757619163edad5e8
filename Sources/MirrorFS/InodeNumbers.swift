import Glibc
import Synchronization

/// The inode numbers that the mount shows. It has one `st_dev`, but SOURCE may have several file
/// systems with equal numbers: tar(1) and cp(1) would take files of two of them for hard links, and
/// find(1) a directory for one that it has already visited.
///
/// Numbers of SOURCE's own file system are not changed. All others have the highest bit set, which
/// no file system uses: then 23 bits identify the file system, and 40 the file; where 40 are too
/// few, a number is assigned. Each number stays the same while the mount lasts.
final class InodeNumbers: Sendable {
    private struct Key: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    private struct Given {
        var devices: [UInt64: UInt64] = [:]
        var large: [Key: UInt64] = [:]
    }

    private static let foreign: UInt64 = 1 << 63
    /// Also set if the number was assigned.
    private static let large: UInt64 = 1 << 62
    private static let inodeBits: UInt64 = 40

    private let own: UInt64
    private let given = Mutex(Given())

    /// - Parameter device: `st_dev` of SOURCE.
    init(own device: UInt64) { own = device }

    func isForeign(_ device: UInt64) -> Bool { device != own }

    /// What is shown for `inode` of the file system `device`.
    @inline(__always)
    func shown(_ inode: UInt64, on device: UInt64) -> UInt64 {
        device == own ? inode : translated(inode, device)
    }

    /// `status` as the mount shows it.
    @inline(__always)
    func shown(_ status: stat) -> stat {
        let device = UInt64(status.st_dev)
        if device == own { return status }
        var shown = status
        shown.st_ino = ino_t(translated(UInt64(status.st_ino), device))
        return shown
    }

    private func translated(_ inode: UInt64, _ device: UInt64) -> UInt64 {
        given.withLock { given in
            if inode >> Self.inodeBits == 0 {
                let number = given.devices[device] ?? UInt64(given.devices.count + 1)
                given.devices[device] = number
                // 2^22 file systems below one SOURCE; for more, each file is assigned a number.
                if number >> 22 == 0 { return Self.foreign | number << Self.inodeBits | inode }
            }
            let key = Key(device: device, inode: inode)
            let number = given.large[key] ?? UInt64(given.large.count)
            given.large[key] = number
            return Self.foreign | Self.large | number
        }
    }
}
