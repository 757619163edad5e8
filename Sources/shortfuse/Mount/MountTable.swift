import Glibc
import Syscall
import SystemPackage

/// One line of /proc/self/mountinfo.
struct MountEntry: Equatable, Sendable {
    /// `st_dev` of the files there.
    let device: dev_t
    let mountpoint: Path
    let type: String
}

/// What the kernel has mounted.
enum MountTable {
    static func current() throws(Failure) -> [MountEntry] {
        do {
            return parse(try Files.read("/proc/self/mountinfo"))
        } catch {
            throw Failure("/proc/self/mountinfo: \(error); mount /proc")
        }
    }

    /// What process `pid` sees; nothing if it has ended.
    static func seen(by pid: Int32) -> [MountEntry] {
        parse((try? Files.read("/proc/\(pid)/mountinfo")) ?? [])
    }

    /// The mount that is seen at `mountpoint`: the last one put there.
    static func top(at mountpoint: Path) throws(Failure) -> MountEntry? {
        try current().last { $0.mountpoint == mountpoint }
    }

    static func parse(_ bytes: [UInt8]) -> [MountEntry] {
        MountInfo.parse(bytes).map {
            MountEntry(
                device: $0.device, mountpoint: Path(bytes: $0.mountpoint),
                type: String(decoding: $0.type, as: UTF8.self))
        }
    }
}
