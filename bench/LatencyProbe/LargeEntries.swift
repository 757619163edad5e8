import Glibc
import SeededRandom

/// A file that is read or written in pieces. Each 4 KiB of it can be made by themselves, so that a
/// piece's last bytes are known without the rest.
struct LargeFile: Entry {
    static let blockSize = 4096
    static let chunk = 1 << 20

    let path: String
    /// Bytes, whole chunks.
    let size: Int
    let seed: UInt64

    private func block(_ index: Int) -> [UInt8] {
        RegularFile(path: path, size: Self.blockSize, seed: seed &+ UInt64(index)).content()
    }

    /// The chunk that begins at `offset`.
    private func chunk(at offset: Int) -> [UInt8] {
        let first = offset / Self.blockSize
        return (first..<first + Self.chunk / Self.blockSize).flatMap(block)
    }

    /// The bytes before `offset`, a multiple of 4 KiB.
    func lastBytes(before offset: Int) -> UInt64 {
        block(offset / Self.blockSize - 1).withUnsafeBytes { lastWord(of: $0) }
    }

    func create(below root: Root) throws {
        try root.makeParents(of: path)
        let file = openat(
            root.descriptor, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw root.failure(path) }
        defer { close(file) }
        for offset in stride(from: 0, to: size, by: Self.chunk) {
            guard write(file, chunk(at: offset), Self.chunk) == Self.chunk else {
                throw root.failure(path)
            }
        }
    }

    func check(below root: Root) throws {
        let file = openat(root.descriptor, path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw root.failure(path) }
        defer { close(file) }
        var found = [UInt8](repeating: 0, count: Self.chunk)
        for offset in stride(from: 0, to: size, by: Self.chunk) {
            guard read(file, &found, Self.chunk) == Self.chunk, found == chunk(at: offset) else {
                throw root.mismatch(path, "not the data set's content at \(offset)")
            }
        }
    }

    /// All of it in pieces of 1 MiB, from start to end.
    var chunks: [Piece] {
        stride(from: 0, to: size, by: Self.chunk).map {
            Piece(file: self, offset: $0, size: Self.chunk)
        }
    }

    /// So many blocks of 4 KiB, in no order.
    func scattered(_ count: Int) -> [Piece] {
        var generator = SplitMix64(seed: seed)
        return (0..<size / Self.blockSize).shuffled(using: &generator).prefix(count).map {
            Piece(file: self, offset: $0 * Self.blockSize, size: Self.blockSize)
        }
    }
}

/// What one call reads or writes of a file.
struct Piece: Entry {
    let file: LargeFile
    let offset: Int
    let size: Int

    var path: String { file.path }
    func create(below root: Root) throws { try file.create(below: root) }
    func check(below root: Root) throws { try file.check(below: root) }
}

/// The name of a file that comes and goes; its directory stays.
struct Scratch: Entry {
    let path: String

    func create(below root: Root) throws { try root.makeParents(of: path) }
    func check(below root: Root) {}
}

/// A directory of so many empty files.
struct Crowd: Entry {
    let path: String
    let count: Int

    func create(below root: Root) throws {
        for index in 0..<count {
            let name = "\(path)/file\(index)"
            if index == 0 { try root.makeParents(of: name) }
            let file = openat(root.descriptor, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
            guard file >= 0 else { throw root.failure(name) }
            close(file)
        }
    }

    /// Nothing to do: each call counts them.
    func check(below root: Root) {}
}
