import Glibc
import SystemPackage

/// Why a file cannot be used as BTF, and what to do.
public struct BTFFileError: Error, CustomStringConvertible {
    public enum File: Sendable {
        case kernel, fuse
    }

    public let file: File
    public let description: String

    init(_ file: File, _ description: String) {
        self.file = file
        self.description = description
    }
}

/// The header of BTF, if its sizes are consistent.
struct BTFHeader {
    /// The size of the names.
    let stringBytes: UInt32
    /// True if it continues the BTF of a kernel: its names do not begin with the empty one.
    let isModule: Bool

    private static let magic: [UInt8] = [0x9f, 0xeb]
    private static let headerBytes = 24

    /// - Parameters:
    ///   - bytes: all of the BTF, not only the header.
    ///   - file: for errors.
    init(of bytes: [UInt8], _ file: BTFFileError.File) throws(BTFFileError) {
        guard bytes.starts(with: Self.magic) else {
            throw BTFFileError(file, Self.otherwise(bytes))
        }
        guard bytes.count >= Self.headerBytes else {
            throw BTFFileError(
                file, "truncated within its header, after \(bytes.count) bytes: get the file again")
        }
        // struct btf_header: magic, version, flags, hdr_len, type_off, type_len, str_off, str_len.
        let header = UInt64(Self.number(bytes, 4))
        let types = (UInt64(Self.number(bytes, 8)), UInt64(Self.number(bytes, 12)))
        let strings = (UInt64(Self.number(bytes, 16)), UInt64(Self.number(bytes, 20)))
        let whole = header + max(types.0 + types.1, strings.0 + strings.1)
        guard whole <= bytes.count else {
            throw BTFFileError(
                file, "truncated: \(bytes.count) bytes of \(whole); get the file again")
        }
        let start = Int(header + strings.0)
        stringBytes = UInt32(strings.1)
        isModule = strings.1 > 0 && bytes[start] != 0
    }

    private static func number(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32($1 * 8) }
    }

    /// What the file contains instead of BTF.
    private static func otherwise(_ bytes: [UInt8]) -> String {
        let packers: [([UInt8], String)] = [
            ([0xfd, 0x37, 0x7a, 0x58, 0x5a], "xz -dk"), ([0x28, 0xb5, 0x2f, 0xfd], "zstd -dk"),
            ([0x1f, 0x8b], "gzip -dk"),
        ]
        if let (_, command) = packers.first(where: { bytes.starts(with: $0.0) }) {
            return "compressed: unpack it with `\(command)` first"
        }
        if bytes.starts(with: magic.reversed()) {
            return "BTF of a big-endian machine: give that of an x86-64 kernel"
        }
        if bytes.starts(with: Array("MZ".utf8)) {
            return "a kernel image, whose BTF is packed in it: scripts/kernel-btf unpacks those"
        }
        return "not BTF: give a file like /sys/kernel/btf/vmlinux, or vmlinux or a module with a "
            + "section .BTF"
    }
}

/// A file with BTF: raw, or as a section of ELF.
struct BTFFile {
    let path: FilePath
    let header: BTFHeader
    /// The kernel's release, if a module names the one that it is for.
    let release: String?

    /// A kernel's BTF has about 6 MB.
    private static let largest = 1 << 28

    init(_ path: FilePath, _ file: BTFFileError.File) throws(BTFFileError) {
        self.path = path
        do {
            // Does not wait for the other end of a FIFO.
            let descriptor = try FileDescriptor.open(
                path, .readOnly, options: [.closeOnExec, .nonBlocking])
            (header, release) = try descriptor.closeAfter { try Self.read(descriptor, file) }
        } catch let error as BTFFileError {
            throw error
        } catch let error as Errno {
            throw BTFFileError(
                file,
                error == .permissionDenied
                    ? "\(error); run it with sudo, or give a file that you may read"
                    : "\(error); check the path")
        } catch {
            throw BTFFileError(file, "cannot be read: \(error)")
        }
    }

    private static func read(
        _ descriptor: FileDescriptor, _ file: BTFFileError.File
    ) throws -> (BTFHeader, String?) {
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else { throw Errno(rawValue: errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw BTFFileError(file, "not a regular file; check the path")
        }
        let size = Int(status.st_size)
        let elf = ELFFile(descriptor: descriptor, size: size)
        guard try elf.isELF else {
            guard size <= largest else {
                throw BTFFileError(file, otherwiseTooLarge)
            }
            let bytes = try elf.bytes(at: 0, count: size)
            return (try BTFHeader(of: bytes, file), nil)
        }
        let section: [UInt8]?
        let information: [UInt8]?
        do {
            section = try elf.section(".BTF", largest: largest)
            information = try elf.section(".modinfo", largest: 1 << 20)
        } catch is ELFFile.Damaged {
            throw BTFFileError(file, "damaged or truncated ELF: get the file again")
        }
        guard let section else {
            throw BTFFileError(
                file,
                "ELF without a section .BTF: use a kernel with CONFIG_DEBUG_INFO_BTF, not stripped")
        }
        return (try BTFHeader(of: section, file), information.flatMap(release(of:)))
    }

    private static let otherwiseTooLarge =
        "not BTF, which is smaller: give a file like /sys/kernel/btf/vmlinux"

    /// "vermagic=6.12.1 SMP preempt mod_unload" in a module's information.
    private static func release(of information: [UInt8]) -> String? {
        let key = Array("vermagic=".utf8)
        guard let entry = information.split(separator: 0).first(where: { $0.starts(with: key) })
        else { return nil }
        return entry.dropFirst(key.count).split(separator: UInt8(ascii: " ")).first.map {
            String(decoding: $0, as: UTF8.self)
        }
    }
}
