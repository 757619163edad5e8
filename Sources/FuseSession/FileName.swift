import Glibc
import Syscall

/// The name of a directory entry: bytes in no particular encoding, without NUL and `/`; not `.` or
/// `..`.
public struct FileName: Hashable, Sendable, Codable {
    public let bytes: [UInt8]

    /// Nil for what is no name.
    public init?(bytes: [UInt8]) {
        guard !bytes.isEmpty, !bytes.contains(0), !bytes.contains(UInt8(ascii: "/")),
            bytes != [UInt8(ascii: ".")], bytes != Array("..".utf8)
        else { return nil }
        self.bytes = bytes
    }

    /// Nil for what is no name.
    public init?(_ text: String) { self.init(bytes: Array(text.utf8)) }

    init?(_ name: UnsafePointer<CChar>) {
        self.init(bytes: Array(UnsafeRawBufferPointer(start: name, count: strlen(name))))
    }

    /// Calls `body` with the bytes and a NUL.
    public func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
        body(bytes.cString)
    }
}

/// For messages: what is not UTF-8 becomes U+FFFD.
extension FileName: CustomStringConvertible {
    public var description: String { String(decoding: bytes, as: UTF8.self) }
}
