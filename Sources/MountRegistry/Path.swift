import Glibc
import Syscall
import SystemPackage

/// A path, or a name in a directory, as the bytes that the kernel knows it by.
///
/// Not a String: those replace what is not UTF-8, and two spellings of one character are equal
/// there, though they are two names to the kernel. In a string for people a path is escaped; in
/// another path its bytes go in as they are.
package struct Path: Hashable, Sendable {
    package let bytes: [UInt8]

    package init(bytes: some Sequence<UInt8>) {
        self.bytes = Array(bytes)
    }

    package init(_ text: String) {
        self.init(bytes: text.utf8)
    }

    /// Of a C string.
    package init(cString: UnsafePointer<CChar>) {
        let characters = UnsafeBufferPointer(start: cString, count: strlen(cString))
        self.init(bytes: characters.lazy.map { UInt8(bitPattern: $0) })
    }

    /// For system calls.
    package var cString: [CChar] { bytes.cString }

    /// For code that takes SystemPackage's paths; without doubled and trailing slashes.
    package var filePath: FilePath { FilePath(platformString: cString) }

    package var isAbsolute: Bool { bytes.first == UInt8(ascii: "/") }
}

extension Path: CustomStringConvertible {
    /// For people, in one line.
    package var description: String { printable(bytes) }
}

extension Path: Comparable {
    package static func < (left: Path, right: Path) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

/// In JSON: text with the escapes of `RawText`, but control characters are JSON's business.
extension Path: Codable {
    package init(from decoder: any Decoder) throws {
        self.init(bytes: RawText.unescape(try decoder.singleValueContainer().decode(String.self)))
    }

    package func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        try value.encode(RawText.escape(bytes, inOneLine: false))
    }
}

extension Path: ExpressibleByStringInterpolation {
    package struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var bytes: [UInt8] = []

        package init(literalCapacity: Int, interpolationCount: Int) {
            bytes.reserveCapacity(literalCapacity)
        }

        package mutating func appendLiteral(_ literal: String) { bytes += literal.utf8 }
        package mutating func appendInterpolation(_ path: Path) { bytes += path.bytes }
        package mutating func appendInterpolation(_ text: String) { bytes += text.utf8 }
        package mutating func appendInterpolation(_ number: some BinaryInteger) {
            bytes += String(number).utf8
        }
    }

    package init(stringLiteral text: String) {
        self.init(text)
    }

    package init(stringInterpolation parts: StringInterpolation) {
        self.init(bytes: parts.bytes)
    }
}
