import Glibc
import SystemPackage
import Testing

@testable import KernelCache

/// Files that are no BTF, or less than they say: one line each, and no harm.
@Suite struct BTFFileTests {
    static func bytes(of path: FilePath) throws -> [UInt8] {
        let file = try FileDescriptor.open(path, .readOnly)
        return try file.closeAfter {
            var all: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 1 << 20)
            while case let count = try chunk.withUnsafeMutableBytes({ try file.read(into: $0) }),
                count > 0
            {
                all += chunk[..<count]
            }
            return all
        }
    }

    /// Empty if it can be used.
    private static func refusal(_ bytes: [UInt8]) throws -> String {
        do {
            _ = try withFile(bytes) { try KernelFit.reading(kernel: $0, fuse: nil) }
            return ""
        } catch let error as BTFFileError {
            return error.description
        }
    }

    @Test(
        arguments: [
            ([], "not BTF"), (Array("something else, and long enough".utf8), "not BTF"),
            ([0x9f, 0xeb, 1, 0], "truncated within its header, after 4 bytes"),
            ([0xeb, 0x9f] + [UInt8](repeating: 0, count: 30), "big-endian"),
            ([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "xz -dk"), ([0x28, 0xb5, 0x2f, 0xfd], "zstd -dk"),
            ([0x1f, 0x8b, 8], "gzip -dk"), (Array("MZ and more".utf8), "scripts/kernel-btf"),
            (Array("\u{7f}ELF".utf8), "truncated ELF"),
        ] as [([UInt8], String)])
    func isToldWhatItIs(bytes: [UInt8], told: String) throws {
        #expect(try Self.refusal(bytes).contains(told))
    }

    @Test func missingAndUnreadable() throws {
        let paths: [(FilePath, String)] = [
            ("/no/such/file", "No such file"), ("/", "not a regular file"),
            ("/dev/null", "not a regular file"),
        ]
        for (path, told) in paths {
            let error = #expect(throws: BTFFileError.self) {
                try KernelFit.reading(kernel: path, fuse: nil)
            }
            #expect(error?.description.contains(told) == true)
        }
    }

    /// Cut anywhere, it says so.
    @Test func truncated() throws {
        let whole = FakeKernel.whole.bytes()
        for count in stride(from: 24, to: whole.count, by: 97) {
            let told = try Self.refusal(Array(whole[..<count]))
            #expect(told.contains("truncated: \(count) bytes of \(whole.count)"))
        }
    }

    /// The types of a program's own ELF, which has none.
    @Test func elfWithoutTypes() throws {
        let error = #expect(throws: BTFFileError.self) {
            try KernelFit.reading(kernel: "/proc/self/exe", fuse: nil)
        }
        #expect(error?.description.contains("ELF without a section .BTF") == true)
    }

    /// An ELF of three sections: the types, information of a module, and names.
    private static func elf(_ types: [UInt8]) -> [UInt8] {
        let names = Array("\0.BTF\0.modinfo\0.names\0".utf8)
        let information = Array("license=GPL\0vermagic=6.12.1-test SMP mod_unload\0".utf8)
        func number(_ value: Int, _ bytes: Int) -> [UInt8] {
            (0..<bytes).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        }
        func entry(_ name: Int, _ offset: Int, _ size: Int) -> [UInt8] {
            number(name, 4) + number(1, 4) + number(0, 16) + number(offset, 8) + number(size, 8)
                + number(0, 24)
        }
        let table = 64 + types.count + information.count + names.count
        var file = Array("\u{7f}ELF".utf8) + [2, 1, 1] + number(0, 33) + number(table, 8)
        file += number(0, 10) + number(64, 2) + number(4, 2) + number(3, 2)
        file += types + information + names
        file += [UInt8](repeating: 0, count: 64) + entry(1, 64, types.count)
        file += entry(6, 64 + types.count, information.count)
        file += entry(15, 64 + types.count + information.count, names.count)
        return file
    }

    @Test func elf() throws {
        let file = Self.elf(FakeKernel.whole.bytes())
        let header = try withFile(file) { try BTFFile($0, .kernel) }
        #expect(header.release == "6.12.1-test")
        #expect(!header.header.isModule)
        for count in stride(from: 4, to: file.count, by: 101) {
            #expect(try Self.refusal(Array(file[..<count])).contains("truncated ELF"))
        }
    }

    /// Whatever byte is changed: an answer or a line, in finite time.
    @Test func damaged() throws {
        let whole = FakeKernel.whole.bytes()
        for index in stride(from: 0, to: whole.count, by: 2) {
            var bytes = whole
            bytes[index] ^= [0xff, 0x01, 0x80][index % 3]
            _ = try Self.refusal(bytes)
        }
    }
}
