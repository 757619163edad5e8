import Glibc
import Syscall
import SystemPackage

/// One line of /proc/self/mountinfo.
package struct MountEntry: Equatable, Sendable {
    /// `st_dev` of the files there.
    package let device: dev_t
    package let mountpoint: Path
    package let type: String
}

/// What the kernel has mounted.
package enum MountTable {
    package static func current() throws(Failure) -> [MountEntry] {
        do {
            return parse(try Files.read("/proc/self/mountinfo"))
        } catch {
            throw Failure("/proc/self/mountinfo: \(error); mount /proc")
        }
    }

    /// What process `pid` sees; nothing if it has ended.
    package static func seen(by pid: Int32) -> [MountEntry] {
        parse((try? Files.read("/proc/\(pid)/mountinfo")) ?? [])
    }

    /// The mount that is seen at `mountpoint`: the last one put there.
    package static func top(at mountpoint: Path) throws(Failure) -> MountEntry? {
        try current().last { $0.mountpoint == mountpoint }
    }

    package static func parse(_ bytes: [UInt8]) -> [MountEntry] {
        MountInfo.parse(bytes).map {
            MountEntry(
                device: $0.device, mountpoint: Path(bytes: $0.mountpoint),
                type: String(decoding: $0.type, as: UTF8.self))
        }
    }
}
