import CLinux
import Glibc
import SystemPackage

/// One line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
public struct MountInfo: Hashable, Sendable {
    /// Reused for another mount once this one has ended.
    public let id: Int32
    /// The mount that the mountpoint is on.
    public let parent: Int32
    /// `st_dev` of the files there.
    public let device: dev_t
    /// The path of the mountpoint: bytes, without a NUL.
    public let mountpoint: [UInt8]
    /// The name of the file system's type.
    public let type: [UInt8]
}

extension Syscall {
    /// An open /proc/self/mountinfo: poll(2) returns `POLLPRI` once for each change of the mounts
    /// of this process's namespace.
    public static func openMountTable() throws(Errno) -> FileDescriptor {
        try open("/proc/self/mountinfo", flags: O_RDONLY)
    }

    /// All mounts of this process's namespace, older ones first.
    public static func mounts() throws(Errno) -> [MountInfo] {
        let table = Descriptor(owning: try openMountTable())
        return MountInfo.parse(try readAll(table.fd))
    }

    /// The devices (in the kernel's numbering: major << 20 | minor) whose file systems `watch`
    /// watches. The kernel ends a watch when the file system is unmounted (fs/notify/fdinfo.c).
    public static func watchedDevices(_ watch: FileDescriptor) throws(Errno) -> Set<UInt32> {
        let file = Descriptor(
            owning: try open("/proc/self/fdinfo/\(watch.rawValue)", flags: O_RDONLY))
        let prefix = Array("fanotify sdev:".utf8)
        return Set(
            try readAll(file.fd).split(separator: UInt8(ascii: "\n")).compactMap { line in
                guard line.starts(with: prefix) else { return nil }
                let digits = line.dropFirst(prefix.count).prefix { $0 != UInt8(ascii: " ") }
                return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
            })
    }

    /// `device` in the kernel's numbering.
    public static func kernelNumber(of device: dev_t) -> UInt32 {
        linux_kernel_device(device)
    }

    /// The current path of the file of `fd`, as /proc/self/fd shows it.
    /// - Throws: `ENAMETOOLONG` for a path of `PATH_MAX` bytes or more.
    public static func linkTarget(ofDescriptor fd: FileDescriptor) throws(Errno) -> [UInt8] {
        var target = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = try DescriptorPath(fd).withPointer { (path) throws(Errno) in
            try retrying { readlink(path, &target, target.count) }
        }
        guard count < target.count else { throw .fileNameTooLong }
        return target[..<count].map { UInt8(bitPattern: $0) }
    }

    /// `nosymfollow` of mount(8), for the mount at `path`.
    /// - Throws: `ENOSYS` or `EINVAL` before Linux 5.14.
    public static func forbidSymlinks(at path: UnsafePointer<CChar>) throws(Errno) {
        try check { linux_forbid_symlinks(path) }
    }

    /// setns(2). Only while the process has one thread.
    public static func enterMountNamespace(_ namespace: FileDescriptor) throws(Errno) {
        try check { linux_enter_mount_namespace(namespace.rawValue) }
    }

    /// Reads a whole file of /proc, whose size is not known in advance.
    private static func readAll(_ file: FileDescriptor) throws(Errno) -> [UInt8] {
        var bytes: [UInt8] = []
        let part = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 8)
        defer { part.deallocate() }
        while true {
            let count = try retrying { Glibc.read(file.rawValue, part.baseAddress, part.count) }
            guard count > 0 else { return bytes }
            bytes += part[..<count]
        }
    }
}

extension MountInfo {
    /// - Parameter bytes: of /proc/self/mountinfo; malformed lines are left out.
    public static func parse(_ bytes: [UInt8]) -> [MountInfo] {
        bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            guard fields.count > 6, let dash = fields[6...].firstIndex(of: [UInt8(ascii: "-")]),
                dash + 1 < fields.endIndex, let id = Int32(text(fields[0])),
                let parent = Int32(text(fields[1]))
            else { return nil }
            let device = fields[2].split(separator: UInt8(ascii: ":")).compactMap {
                UInt32(text($0))
            }
            guard device.count == 2 else { return nil }
            return MountInfo(
                id: id, parent: parent,
                device: Syscall.device(major: device[0], minor: device[1]),
                mountpoint: unescape(fields[4]), type: Array(fields[dash + 1]))
        }
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes, as: UTF8.self)
    }

    /// The kernel writes white space and '\' as a backslash and three octal digits.
    private static func unescape(_ field: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let code = UInt8(text(rest.prefix(3)), radix: 8)
            {
                result.append(code)
                rest = rest.dropFirst(3)
            } else {
                result.append(byte)
            }
        }
        return result
    }
}
