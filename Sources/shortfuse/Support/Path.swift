import ArgumentParser
import Glibc
import Syscall
import SystemPackage

/// A path, or a name in a directory, as the bytes that the kernel knows it by.
///
/// Not a String: those replace what is not UTF-8, and two spellings of one character are equal
/// there, though they are two names to the kernel. In a string for people a path is escaped; in
/// another path its bytes go in as they are.
struct Path: Hashable, Sendable {
    let bytes: [UInt8]

    init(bytes: some Sequence<UInt8>) {
        self.bytes = Array(bytes)
    }

    init(_ text: String) {
        self.init(bytes: text.utf8)
    }

    /// Of a C string.
    init(cString: UnsafePointer<CChar>) {
        let characters = UnsafeBufferPointer(start: cString, count: strlen(cString))
        self.init(bytes: characters.lazy.map { UInt8(bitPattern: $0) })
    }

    /// For system calls.
    var cString: [CChar] { bytes.cString }

    /// For code that takes SystemPackage's paths; without doubled and trailing slashes.
    var filePath: FilePath { FilePath(platformString: cString) }

    /// For the command line of another process, see `Arguments`.
    var argument: String { Arguments.text(bytes) }

    var isAbsolute: Bool { bytes.first == UInt8(ascii: "/") }
}

extension Path: CustomStringConvertible {
    /// For people, in one line.
    var description: String { printable(bytes) }
}

extension Path: Comparable {
    static func < (left: Path, right: Path) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

extension Path: ExpressibleByArgument {
    /// - Parameter argument: as `Arguments` has it.
    init(argument: String) {
        self.init(bytes: Arguments.bytes(argument))
    }
}

/// In JSON: text with the escapes of `RawText`, but control characters are JSON's business.
extension Path: Codable {
    init(from decoder: any Decoder) throws {
        self.init(bytes: RawText.unescape(try decoder.singleValueContainer().decode(String.self)))
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        try value.encode(RawText.escape(bytes, inOneLine: false))
    }
}

extension Path: ExpressibleByStringInterpolation {
    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var bytes: [UInt8] = []

        init(literalCapacity: Int, interpolationCount: Int) {
            bytes.reserveCapacity(literalCapacity)
        }

        mutating func appendLiteral(_ literal: String) { bytes += literal.utf8 }
        mutating func appendInterpolation(_ path: Path) { bytes += path.bytes }
        mutating func appendInterpolation(_ text: String) { bytes += text.utf8 }
        mutating func appendInterpolation(_ number: some BinaryInteger) {
            bytes += String(number).utf8
        }
    }

    init(stringLiteral text: String) {
        self.init(text)
    }

    init(stringInterpolation parts: StringInterpolation) {
        self.init(bytes: parts.bytes)
    }
}
