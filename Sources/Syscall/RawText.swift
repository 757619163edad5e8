import SystemPackage

/// Bytes that are usually but not necessarily UTF-8: what the kernel calls a path or a name.
public enum RawText {
    public enum Unit: Equatable, Sendable {
        case scalar(Unicode.Scalar)
        /// Not part of valid UTF-8.
        case byte(UInt8)
    }

    public static func units(_ bytes: some Sequence<UInt8>) -> [Unit] {
        let bytes = Array(bytes)
        var units: [Unit] = []
        units.reserveCapacity(bytes.count)
        var input = bytes.makeIterator()
        var parser = Unicode.UTF8.ForwardParser()
        var place = 0
        while true {
            switch parser.parseScalar(from: &input) {
            case .valid(let encoded):
                units.append(.scalar(Unicode.UTF8.decode(encoded)))
                place += encoded.count
            case .error(let length):
                units += bytes[place..<(place + length)].map { .byte($0) }
                place += length
            case .emptyInput:
                return units
            }
        }
    }

    /// Text that represents exactly these bytes: a byte that is not UTF-8 as `\xHH`, a backslash as
    /// `\\`, as bash accepts in `$'…'`.
    ///
    /// - Parameters:
    ///   - bytes: a path, a name or a message, in no particular encoding.
    ///   - inOneLine: also control characters and line separators as `\xHH`, for terminals and
    ///     logs.
    public static func escape(_ bytes: some Sequence<UInt8>, inOneLine: Bool) -> String {
        var text = ""
        for unit in units(bytes) {
            switch unit {
            case .byte(let byte): text += hex(byte)
            case .scalar("\\"): text += "\\\\"
            case .scalar(let scalar):
                if inOneLine, isControl(scalar) {
                    text += String(scalar).utf8.map(hex).joined()
                } else {
                    text.unicodeScalars.append(scalar)
                }
            }
        }
        return text
    }

    /// The bytes that were passed to `escape`. A backslash that begins no escape is kept.
    public static func unescape(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "\\") {
                rest.removeFirst()
                bytes.append(byte)
            } else if byte == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "x"),
                let code = code(rest.dropFirst().prefix(2))
            {
                rest.removeFirst(3)
                bytes.append(code)
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }

    /// As in escapes.
    public static func hex(_ byte: UInt8) -> String {
        (byte < 0x10 ? "\\x0" : "\\x") + String(byte, radix: 16)
    }

    /// The value of two hexadecimal digits; nil if they are not.
    private static func code(_ digits: ArraySlice<UInt8>) -> UInt8? {
        let values = digits.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard values.count == 2 else { return nil }
        return UInt8(values[0] << 4 | values[1])
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}

extension Sequence<UInt8> {
    /// For system calls; the bytes have no NUL.
    public var cString: [CChar] { map { CChar(bitPattern: $0) } + [0] }
}

/// Bytes of a path for messages.
public func printable(_ bytes: some Sequence<UInt8>) -> String {
    RawText.escape(bytes, inOneLine: true)
}

extension FilePath {
    /// For messages: `description` replaces what is not UTF-8.
    public var printable: String {
        withPlatformString { path in
            let characters = UnsafeBufferPointer(start: path, count: length)
            return RawText.escape(characters.map { UInt8(bitPattern: $0) }, inOneLine: true)
        }
    }
}
