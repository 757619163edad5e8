import Glibc
import SeededRandom

/// Something that every subject holds (or none), at a path relative to its root.
protocol Entry: Sendable {
    var path: String { get }

    /// Makes it below `root`; what is already there is replaced.
    func create(below root: Root) throws
    /// Throws unless it is below `root`, whole and as made.
    func check(below root: Root) throws
}

/// An open directory, and its name for messages.
struct Root {
    let descriptor: CInt
    let name: String

    init(_ path: String) throws {
        name = path
        descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ProbeError(errnoOf: path) }
    }

    /// Runs `body` with it as the working directory.
    func asWorkingDirectory(_ body: () throws -> Void) throws {
        let previous = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard previous >= 0 else { throw ProbeError(errnoOf: "working directory") }
        defer {
            // To where it came from, by a descriptor: nothing can be in the way.
            _ = fchdir(previous)
            close(previous)
        }
        guard fchdir(descriptor) == 0 else { throw ProbeError(errnoOf: name) }
        try body()
    }

    /// Call at once after the failed call: takes errno.
    func failure(_ path: String) -> ProbeError {
        ProbeError(errnoOf: "\(name)/\(path)")
    }

    func mismatch(_ path: String, _ what: String) -> ProbeError {
        ProbeError("\(name)/\(path): \(what)")
    }

    func makeParents(of path: String) throws {
        var parent = ""
        for component in path.split(separator: "/").dropLast() {
            parent += component
            if mkdirat(descriptor, parent, 0o755) != 0 && errno != EEXIST {
                throw failure(parent)
            }
            parent += "/"
        }
    }
}

struct RegularFile: Entry {
    let path: String
    let size: Int
    let seed: UInt64

    func content() -> [UInt8] {
        var generator = SplitMix64(seed: seed)
        let words = (0..<(size + 7) / 8).map { _ in generator.next() }
        return words.withUnsafeBytes { Array($0.prefix(size)) }
    }

    func create(below root: Root) throws {
        try root.makeParents(of: path)
        let content = content()
        let file = openat(
            root.descriptor, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw root.failure(path) }
        defer { close(file) }
        guard write(file, content, content.count) == content.count else {
            throw root.failure(path)
        }
    }

    func check(below root: Root) throws {
        let file = openat(root.descriptor, path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw root.failure(path) }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw root.failure(path) }
        guard status.st_size == size else {
            throw root.mismatch(path, "\(status.st_size) bytes long, not \(size)")
        }
        var found = [UInt8](repeating: 0, count: size)
        let count = read(file, &found, size)
        guard count >= 0 else { throw root.failure(path) }
        guard count == size, found == content() else {
            throw root.mismatch(path, "not the data set's content")
        }
    }
}

struct SymbolicLink: Entry {
    let path: String
    let target: String

    func create(below root: Root) throws {
        try root.makeParents(of: path)
        if unlinkat(root.descriptor, path, 0) != 0 && errno != ENOENT { throw root.failure(path) }
        guard symlinkat(target, root.descriptor, path) == 0 else { throw root.failure(path) }
    }

    func check(below root: Root) throws {
        var found = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlinkat(root.descriptor, path, &found, found.count)
        guard count >= 0 else { throw root.failure(path) }
        guard found.prefix(count).elementsEqual(target.utf8CString.dropLast()) else {
            throw root.mismatch(path, "does not point to \(target)")
        }
    }
}

struct AbsentName: Entry {
    let path: String

    func create(below root: Root) {}
    /// Nothing to do: each call on it expects ENOENT.
    func check(below root: Root) {}
}

/// A directory that holds `files` and nothing else.
struct Listing: Entry {
    let path: String
    let files: [RegularFile]

    func create(below root: Root) throws {
        for file in files { try file.create(below: root) }
    }

    /// Its entries; that there are no others, each call sees by their number.
    func check(below root: Root) throws {
        for file in files { try file.check(below: root) }
    }
}
