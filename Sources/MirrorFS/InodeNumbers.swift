import Glibc
import Synchronization

/// The inode numbers that the mount shows. It has one `st_dev`, and SOURCE may have several file systems,
/// whose numbers coincide: tar(1) and cp(1) would take files of two for hard links of each other, and find(1)
/// a directory for one that it has been in.
///
/// Numbers of SOURCE's own file system are shown as they are. All others have the highest bit, which no file
/// system uses: then 23 bits tell the file system, and 40 the file; or, where 40 do not suffice, a
/// number is given out. Each is the same as long as the mount lives.
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
    /// Set besides where the number was given out.
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

    /// `status` as it is shown.
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
                // 2^22 file systems below one SOURCE; beyond, each file has a number of its own.
                if number >> 22 == 0 { return Self.foreign | number << Self.inodeBits | inode }
            }
            let key = Key(device: device, inode: inode)
            let number = given.large[key] ?? UInt64(given.large.count)
            given.large[key] = number
            return Self.foreign | Self.large | number
        }
    }
}
