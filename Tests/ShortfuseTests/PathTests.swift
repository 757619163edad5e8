import FoundationEssentials
import Glibc
import Syscall
import Testing

@testable import MountRegistry
@testable import shortfuse

/// Valid, odd, cut short, over-long, surrogates, beyond Unicode, and what the mappings use themselves.
private let samples: [[UInt8]] =
    [
        [], [0xFF], [0x61, 0xFE, 0x62], [0xC3], [0xC3, 0xA9], [0xC3, 0xC3, 0xA9], [0xE2, 0x82],
        [0xE2, 0x82, 0xAC, 0x80], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
        [0xF4, 0x8F, 0xBA, 0x80], [0xF4, 0x8F, 0xBB, 0xBF], [0xF4, 0x8F, 0xBA], [0xEF, 0xBF, 0xBD],
        [0x65, 0xCC, 0x81], [0x5C], [0x5C, 0x5C], [0x0A, 0x1B, 0x7F], [0xC2, 0x85],
        [0xE2, 0x80, 0xA8],
    ] + ["\\xff", "\\\\xff", "/srv/data", "a\\", "a b,c", "\\x4", "𝄞"].map { Array($0.utf8) }

private func randomBytes(_ random: inout SystemRandomNumberGenerator) -> [UInt8] {
    let alphabet: [UInt8] = [
        0x2F, 0x5C, 0x61, 0x78, 0x66, 0x0A, 0x80, 0x8F, 0xA9, 0xBA, 0xBF, 0xC3, 0xE2, 0xF4, 0xFF,
    ]
    return (0..<Int.random(in: 0...12, using: &random)).map { _ in
        alphabet.randomElement(using: &random) ?? 0
    }
}

@Suite struct ArgumentsTests {
    @Test(arguments: samples)
    func keepEveryByte(bytes: [UInt8]) {
        #expect(Arguments.bytes(Arguments.text(bytes)) == bytes)
    }

    @Test func keepEveryByteOfRandomOnes() {
        var random = SystemRandomNumberGenerator()
        var texts: [[UInt8]: [UInt8]] = [:]
        for _ in 0..<20_000 {
            let bytes = randomBytes(&random)
            let text = Arguments.text(bytes)
            #expect(Arguments.bytes(text) == bytes)
            let utf8 = Array(text.utf8)
            #expect(texts[utf8] == nil || texts[utf8] == bytes)
            texts[utf8] = bytes
        }
    }

    @Test func ordinaryOnesAreThemselves() {
        for text in ["", "--json", "/srv/data", "\u{e9}", "e\u{301}", "\u{10FF80}", "𝄞"] {
            #expect(Arguments.text(text.utf8).utf8.elementsEqual(text.utf8))
        }
        #expect(Arguments.text([0x61, 0xFF]).unicodeScalars.map(\.value) == [0x61, 0x10_FEFF])
    }

    @Test func areThoseOfThisProcess() {
        #expect(Arguments.all == CommandLine.arguments)
    }

    @Test func areParsedAsPaths() throws {
        let source = [0x78, 0xFF] as [UInt8]
        let mount = try Mount.parse([Arguments.text(source), "/e\u{301}"])
        #expect(mount.source.bytes == source)
        #expect(mount.mountpoint == "/e\u{301}")
        let again = try Shortfuse.parseAsRoot(mount.daemonArguments(readyDescriptor: 3)) as? Mount
        #expect(again?.source.bytes == source)
    }

    @Test func arePrintable() {
        #expect(Arguments.printable("no \(Arguments.text([0x61, 0xFF, 0x5C]))") == "no a\\xff\\")
    }
}

@Suite struct PathTests {
    private func json(_ path: Path) throws -> String {
        String(decoding: try JSON.encode([path], inOneLine: true).dropLast(), as: UTF8.self)
    }

    @Test(arguments: samples)
    func surviveTextAndJSON(bytes: [UInt8]) throws {
        let path = Path(bytes: bytes)
        #expect(RawText.unescape(path.description) == bytes)
        #expect(!path.description.utf8.contains { $0 < 0x20 || $0 == 0x7F })
        let encoded = Data(try JSON.encode([path]))
        #expect(try JSONDecoder().decode([Path].self, from: encoded) == [path])
    }

    @Test func randomOnesSurviveTextAndJSON() throws {
        var random = SystemRandomNumberGenerator()
        let paths = (0..<5_000).map { _ in Path(bytes: randomBytes(&random)) }
        for path in paths { #expect(RawText.unescape(path.description) == path.bytes) }
        let encoded = Data(try JSON.encode(paths))
        #expect(try JSONDecoder().decode([Path].self, from: encoded) == paths)
    }

    @Test(
        arguments: [
            ("/a b/ä", "/a b/ä"), ("a\nb", "a\\x0ab"), ("\u{7f}\u{85}", "\\x7f\\xc2\\x85"),
            ("\u{1b}[31m", "\\x1b[31m"), ("a\\b", "a\\\\b"), ("\u{2028}", "\\xe2\\x80\\xa8"),
        ] as [(Path, String)])
    func arePrintable(path: Path, text: String) {
        #expect(path.description == text)
        #expect("\(path): x" == text + ": x")
    }

    @Test func oddBytesArePrintable() {
        let path = Path(bytes: [0x61, 0xFF, 0xC3, 0xA4, 0x0A])
        #expect(path.description == "a\\xffä\\x0a")
    }

    @Test func inJSONOnlyOddBytesAndBackslashesAreEscaped() throws {
        #expect(try json("/srv/ä b") == #"["/srv/ä b"]"#)
        #expect(try json("a\nb") == #"["a\nb"]"#)
        #expect(try json(#"a\b"#) == #"["a\\\\b"]"#)
        #expect(try json(Path(bytes: [0x61, 0xFF])) == #"["a\\xff"]"#)
    }

    /// The state of a daemon that knew no escapes.
    @Test func aBackslashAloneIsItself() {
        #expect(RawText.unescape(#"a\b\xg0\x1"#) == Array(#"a\b\xg0\x1"#.utf8))
    }

    @Test func spellingsOfOneCharacterAreTwoPaths() {
        let composed: Path = "/\u{e9}"
        let decomposed: Path = "/e\u{301}"
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed]).count == 2)
        #expect(
            RuntimeDirectory(mountpoint: composed).path
                != RuntimeDirectory(mountpoint: decomposed).path)
    }

    @Test func inAPathAnotherGoesInAsItIs() {
        let odd = Path(bytes: [0xFF, 0x5C])
        let joined: Path = "/a/\(odd)/\(7)/\("b")"
        #expect(joined.bytes == Array("/a/".utf8) + [0xFF, 0x5C] + Array("/7/b".utf8))
    }

    @Test func areFoundInTheFileSystem() throws {
        let scratch = try Scratch()
        let odd: Path = "\(scratch.path)/\(Path(bytes: [0x61, 0xFF]))"
        try #require(mkdir(odd.cString, 0o755) == 0)
        #expect(Files.exists(odd))
        #expect(try Files.names(in: Path(scratch.path)) == [Path(bytes: [0x61, 0xFF])])
        #expect(try Paths.canonical("\(odd)/../\(Path(bytes: [0x61, 0xFF]))//.") == odd)
        #expect(Paths.split(odd)?.last.bytes == [0x61, 0xFF])
        #expect(Paths.isInside(odd, directory: Path(scratch.path)))
        try Files.replace("\(odd)/f", with: [1])
        #expect(try Files.read("\(odd)/f") == [1])
    }

    @Test func areFoundInTheMountTable() {
        let line =
            Array("37 35 0:41 / /m\\134\\012".utf8) + [0xFF] + Array(" rw - fuse x rw\n".utf8)
        #expect(
            MountTable.parse(line).map(\.mountpoint.bytes) == [
                Array("/m\\\n".utf8) + [0xFF]
            ])
    }

    @Test func surviveTheLineToTheParent() {
        let word = Word.mounted(Path(bytes: [0x2F, 0xFF, 0xC3]))
        #expect(Word(word.bytes) == word)
    }
}
