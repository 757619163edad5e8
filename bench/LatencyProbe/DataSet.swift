import Glibc

/// The files that every subject holds: spread over directories of ten, all at the same depth.
struct DataSet {
    static let fileSize = 4096

    let files: [String]
    let missing: [String]
    private let directories: [String]

    init(files count: Int, depth: Int) {
        var directories: [String] = []
        var files: [String] = []
        var missing: [String] = []
        for index in 0..<count {
            let directory = Self.directory(of: index, levels: depth - 1)
            if index % 10 == 0 {
                directories.append(directory)
            }
            files.append(directory + "file\(index % 10)")
            missing.append(directory + "missing\(index % 10)")
        }
        self.directories = directories
        self.files = files
        self.missing = missing
    }

    /// Ten files to a directory and ten directories to a directory, however many levels: the top
    /// level takes what is left. Ends in "/" unless empty.
    private static func directory(of index: Int, levels: Int) -> String {
        var rest = index / 10
        var path = ""
        for level in 0..<levels {
            let isTop = level == levels - 1
            path = "dir\(isTop ? rest : rest % 10)/" + path
            rest /= 10
        }
        return path
    }

    func create(in root: String) throws {
        for directory in directories {
            try makeDirectories(directory, in: root)
        }
        let content = [UInt8](repeating: UInt8(ascii: "x"), count: Self.fileSize)
        for path in files {
            try write(content, to: root + "/" + path)
        }
    }

    private func makeDirectories(_ relative: String, in root: String) throws {
        var path = root
        for component in relative.split(separator: "/") {
            path += "/" + component
            if mkdir(path, 0o755) != 0 && errno != EEXIST {
                throw ProbeError(errnoOf: path)
            }
        }
    }

    private func write(_ content: [UInt8], to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw ProbeError(errnoOf: path) }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, content, content.count) == content.count else {
            throw ProbeError(errnoOf: path)
        }
    }
}
