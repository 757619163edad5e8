import Testing

@testable import MountRegistry

@Suite struct MountNameTests {
    @Test(arguments: [
        ("/mnt", "mnt"),
        ("/srv/data", "srv-data"),
        ("/srv-data", "srv_x2ddata"),
        ("/srv_data", "srv__data"),
        ("/a.b c", "a_x2eb_x20c"),
        ("/é", "_xc3_xa9"),
        ("/", "_r"), ("/e\u{301}", "e_xcc_x81"),
    ])
    func escapes(mountpoint: String, name: String) {
        #expect(MountName(mountpoint: Path(mountpoint)).description == name)
    }

    /// All paths up to four characters of an alphabet with everything that escapes use.
    @Test func isInjectiveOnShortPaths() {
        let alphabet = ["/", "_", "-", "x", "h", "r", "2", "d", ".", "é"]
        var paths: [Path] = ["/"]
        var longest = [""]
        for _ in 1...4 {
            longest = longest.flatMap { path in alphabet.map { path + $0 } }
            paths += longest.map { "/\($0)" }
        }
        let unique = Set(paths)
        #expect(Set(unique.map { MountName(mountpoint: $0) }).count == unique.count)
    }

    @Test func isInjectiveAndValidOnRandomPaths() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("abzAZ059__--//..xxhh \n,éß…".utf8) + [0x80, 0xFF]
        var names: [MountName: Path] = [:]
        for _ in 0..<20_000 {
            let length = Int.random(
                in: 1...(Bool.random(using: &random) ? 20 : 400), using: &random)
            let path = Path(
                bytes: "/".utf8
                    + (0..<length).map { _ in alphabet.randomElement(using: &random) ?? 0 })
            let name = MountName(mountpoint: path)
            #expect(names[name] == nil || names[name] == path, "\(path) and \(names[name] ?? "")")
            names[name] = path
            #expect((1...MountName.longest).contains(name.description.utf8.count))
            #expect(
                name.description.utf8.allSatisfy {
                    $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: "-")
                        || Character(UnicodeScalar($0)).isNumber
                        || Character(UnicodeScalar($0)).isLetter
                }, "\(name)")
        }
    }

    /// A cut name never equals a whole one, whatever the whole one's path.
    @Test func longNamesAreMarked() {
        let long = MountName(mountpoint: "/\(String(repeating: "_", count: 300))").description
        #expect(long.utf8.count <= MountName.longest)
        let tail = long.utf8.suffix(18)
        #expect(tail.starts(with: "_h".utf8))
        let underscores = long.utf8.dropLast(18).count
        #expect(underscores % 2 == 0)
    }

    @Test func isTheSameInEveryProcess() {
        let path = "/" + String(repeating: "a", count: 250)
        #expect(
            MountName(mountpoint: Path(path)).description.hasSuffix("_h" + String(fnv1a(path))))
    }

    private func fnv1a(_ text: String) -> String {
        var hash: UInt64 = 14_695_981_039_346_656_037
        for byte in text.utf8 {
            hash =
                (hash ^ UInt64(byte)).multipliedReportingOverflow(by: 1_099_511_628_211)
                .partialValue
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
