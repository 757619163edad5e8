import MountRegistry
import Syscall

/// The type of file system that a directory is on.
struct SourceType {
    /// As mount(8) has it.
    let name: String
    /// Opening a file there does more than to look it up: it asks a server, or chooses what is opened.
    let decidesAtOpen: Bool

    /// `f_type`, from <linux/magic.h> and statfs(2).
    private static let deciding: [UInt64: String] = [
        0x6969: "nfs", 0xFF53_4D42: "cifs", 0xFE53_4D42: "smb2", 0x517B: "smb", 0x00C3_6400: "ceph",
        0x0102_1997: "9p", Syscall.fuseFileSystem: "fuse", 0x794C_7630: "overlayfs",
        0x5346_414F: "afs",
        0x6B41_4653: "afs", 0x7375_7245: "coda", 0x0BD0_0BD0: "lustre", 0x0116_1970: "gfs2",
        0x7461_636F: "ocfs2",
    ]

    /// Nil if it cannot be asked.
    init?(_ path: Path) {
        guard let type = try? Syscall.fileSystemType(path.cString) else { return nil }
        name = Self.deciding[type] ?? "a file system of type 0x\(String(type, radix: 16))"
        decidesAtOpen = Self.deciding[type] != nil
    }
}
