import SystemPackage

/// Sections of an x86-64 ELF file. Nothing else is read: a vmlinux may have hundreds of megabytes.
struct ELFFile {
    /// The file is inconsistent.
    struct Damaged: Error {}

    let descriptor: FileDescriptor
    let size: Int

    private static let magic: [UInt8] = [0x7f, 0x45, 0x4c, 0x46]
    private static let headerBytes = 64
    private static let entryBytes = 64
    /// A kernel has under a hundred, a module with a section for each function some thousands.
    private static let mostSections = 1 << 17
    /// sh_type of a section that has no data in the file.
    private static let noBits = 8

    var isELF: Bool {
        get throws { try bytes(at: 0, count: min(size, Self.magic.count)) == Self.magic }
    }

    /// Nil if there is no such section.
    func section(_ name: String, largest: Int) throws -> [UInt8]? {
        let header = try bytes(at: 0, count: Self.headerBytes)
        // ELFCLASS64, ELFDATA2LSB, and e_shentsize as they are with it.
        guard header[4] == 2, header[5] == 1, Self.number(header, 58, 2) == Self.entryBytes else {
            throw Damaged()
        }
        let table = Self.number(header, 40, 8)
        let first = try bytes(at: table, count: Self.entryBytes)
        // Numbers that do not fit in the header are in the first entry.
        var count = Self.number(header, 60, 2)
        if count == 0 { count = Self.number(first, 32, 8) }
        var namesIndex = Self.number(header, 62, 2)
        if namesIndex == 0xffff { namesIndex = Self.number(first, 40, 4) }
        guard (1...Self.mostSections).contains(count), (0..<count).contains(namesIndex) else {
            throw Damaged()
        }
        let entries = try bytes(at: table, count: count * Self.entryBytes)
        let names = try content(of: namesIndex, in: entries, largest: 1 << 24)
        for index in 0..<count {
            let start = Self.number(entries, index * Self.entryBytes, 4)
            guard names.count > start else { continue }
            if names[start...].prefix(while: { $0 != 0 }).elementsEqual(name.utf8) {
                return try content(of: index, in: entries, largest: largest)
            }
        }
        return nil
    }

    private func content(of index: Int, in entries: [UInt8], largest: Int) throws -> [UInt8] {
        let entry = index * Self.entryBytes
        let count = Self.number(entries, entry + 32, 8)
        guard Self.number(entries, entry + 4, 4) != Self.noBits, count <= largest else {
            throw Damaged()
        }
        return try bytes(at: Self.number(entries, entry + 24, 8), count: count)
    }

    /// - Throws: `Damaged` if the file does not have all of them.
    func bytes(at offset: Int, count: Int) throws -> [UInt8] {
        guard offset >= 0, count >= 0, offset <= size, count <= size - offset else {
            throw Damaged()
        }
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            let part = try bytes.withUnsafeMutableBytes {
                try descriptor.read(
                    fromAbsoluteOffset: Int64(offset + done),
                    into: UnsafeMutableRawBufferPointer(rebasing: $0[done...]))
            }
            guard part > 0 else { throw Damaged() }
            done += part
        }
        return bytes
    }

    /// Little-endian; a value that does not fit in an `Int` becomes one that is too large for any
    /// file.
    private static func number(_ bytes: [UInt8], _ offset: Int, _ size: Int) -> Int {
        let value = (0..<size).reduce(0 as UInt64) {
            $0 | UInt64(bytes[offset + $1]) << UInt64($1 * 8)
        }
        return Int(exactly: value) ?? .max
    }
}
