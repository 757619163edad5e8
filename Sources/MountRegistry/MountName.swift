/// The name of a mount in /run/shortfuse and in bpffs: its mount point, escaped.
///
/// bpffs takes no '.' in a name, no file system takes '/'. So '/' becomes '-' (the first one goes),
/// '_' becomes "__", and every byte that is not a letter or digit becomes "_x" and two hex digits.
/// Two mount points never share a name: each escape is told by the byte after '_', and nothing else
/// yields '-'. Long ones are cut and end in "_h" and a hash; the mount point in the state tells
/// those apart should two hashes ever meet.
package struct MountName: Hashable, Sendable, CustomStringConvertible {
    package static let longest = 200
    private static let hashLength = 18

    package let description: String

    /// - Parameter mountpoint: absolute and canonical.
    package init(mountpoint: Path) {
        var name: [UInt8] = []
        var cut = 0
        for byte in mountpoint.bytes.dropFirst() {
            // Only between escapes, or "_" and "_h" would read as "__".
            if name.count <= Self.longest - Self.hashLength { cut = name.count }
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                name.append(byte)
            case UInt8(ascii: "/"):
                name.append(UInt8(ascii: "-"))
            case UInt8(ascii: "_"):
                name += "__".utf8
            default:
                name += "_x".utf8
                name += Self.hex(UInt64(byte), digits: 2)
            }
        }
        if name.isEmpty {
            name += "_r".utf8
        }
        if name.count > Self.longest {
            name = name[..<cut] + "_h".utf8 + Self.hex(Self.hash(mountpoint), digits: 16)
        }
        description = String(decoding: name, as: UTF8.self)
    }

    private static func hex(_ value: UInt64, digits: Int) -> [UInt8] {
        let text = Array(String(value, radix: 16).utf8)
        return [UInt8](repeating: UInt8(ascii: "0"), count: digits - text.count) + text
    }

    /// FNV-1a: the same in every process, as Swift's own hash is not.
    private static func hash(_ path: Path) -> UInt64 {
        path.bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
