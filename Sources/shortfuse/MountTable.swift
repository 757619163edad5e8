import Glibc
import Syscall
import SystemPackage

/// One line of /proc/self/mountinfo.
struct MountEntry: Equatable, Sendable {
    /// `st_dev` of the files there.
    let device: dev_t
    let mountpoint: String
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

    /// The mount that is seen at `mountpoint`: the last one put there.
    static func top(at mountpoint: String) throws(Failure) -> MountEntry? {
        try current().last { $0.mountpoint == mountpoint }
    }

    static func parse(_ bytes: [UInt8]) -> [MountEntry] {
        bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
            guard fields.count > 6, let dash = fields[6...].firstIndex(of: [UInt8(ascii: "-")]),
                dash + 1 < fields.endIndex
            else { return nil }
            let device = fields[2].split(separator: UInt8(ascii: ":")).map {
                UInt32(String(decoding: $0, as: UTF8.self)) ?? 0
            }
            guard device.count == 2 else { return nil }
            return MountEntry(
                device: Syscall.device(major: device[0], minor: device[1]),
                mountpoint: String(decoding: unescape(fields[4]), as: UTF8.self),
                type: String(decoding: fields[dash + 1], as: UTF8.self))
        }
    }

    /// The kernel writes white space and '\' as a backslash and three octal digits.
    private static func unescape(_ field: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let code = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
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
