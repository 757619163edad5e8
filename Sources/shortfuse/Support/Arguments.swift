import Glibc
import MountRegistry
import Syscall

/// The command line as strings that keep every byte: the parser takes strings only, and
/// `CommandLine.arguments` has what is not UTF-8 replaced.
///
/// A byte 0xHH that is not part of valid UTF-8 is the scalar U+10FEHH, of a plane for private use;
/// all else is itself. Should the bytes of such a scalar come in, they are taken for four odd ones:
/// so no two sequences of bytes become the same string, and `bytes` undoes `text`.
enum Arguments {
    /// Also the first, the name of the program.
    static let all: [String] = (0..<Int(CommandLine.argc)).compactMap { index in
        CommandLine.unsafeArgv[index].map { text(Path(cString: $0).bytes) }
    }

    /// By which to start this program again: with the arguments of `shortfuse`, so not as a helper
    /// of mount(8).
    static var program: String {
        all.first.flatMap { HelperCall.isHelper($0) ? nil : $0 } ?? "shortfuse"
    }

    static func text(_ bytes: some Sequence<UInt8>) -> String {
        let encoded = RawText.units(bytes).flatMap { unit in
            switch unit {
            case .scalar(let scalar) where byte(of: scalar) == nil: Array(scalar.utf8)
            case .scalar(let scalar): scalar.utf8.flatMap(encoding)
            case .byte(let byte): encoding(of: byte)
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    static func bytes(_ text: String) -> [UInt8] {
        text.unicodeScalars.flatMap { scalar in
            byte(of: scalar).map { [$0] } ?? Array(scalar.utf8)
        }
    }

    /// For people: a text about arguments, with the odd bytes in them as in a printed path.
    static func printable(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            if let byte = byte(of: scalar) {
                result += RawText.hex(byte)
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
    }

    /// U+10FE00 and an odd byte, in UTF-8.
    private static func encoding(of byte: UInt8) -> [UInt8] {
        [0xF4, 0x8F, 0xB8 | byte >> 6, 0x80 | byte & 0x3F]
    }

    private static func byte(of scalar: Unicode.Scalar) -> UInt8? {
        guard (0x10_FE80...0x10_FEFF).contains(scalar.value) else { return nil }
        return UInt8(scalar.value & 0xFF)
    }
}
