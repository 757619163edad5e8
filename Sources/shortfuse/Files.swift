import Glibc
import SystemPackage

/// The few file operations that the commands share.
enum Files {
    /// The whole file, as far as `limit` bytes. Right for /proc and /sys, whose sizes say 0.
    static func read(_ path: String, limit: Int = 1 << 24) throws(Errno) -> [UInt8] {
        try rethrowing { () throws -> [UInt8] in
            let file = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
            return try file.closeAfter {
                var bytes: [UInt8] = []
                var chunk = [UInt8](repeating: 0, count: 1 << 16)
                while bytes.count < limit {
                    let count = try chunk.withUnsafeMutableBytes { try file.read(into: $0) }
                    if count == 0 { break }
                    bytes += chunk[..<count]
                }
                return bytes
            }
        }
    }

    /// The file's text without the white space at its ends, nil if it cannot be read.
    static func text(_ path: String) -> String? {
        guard let bytes = try? read(path) else { return nil }
        return trimmed(String(decoding: bytes, as: UTF8.self))
    }

    /// Replaces the file in one step, so that a reader sees the old text or the new one.
    static func replace(_ path: String, with bytes: [UInt8]) throws(Errno) {
        let new = path + ".new"
        try rethrowing {
            let file = try FileDescriptor.open(
                FilePath(new), .writeOnly, options: [.create, .truncate, .closeOnExec],
                permissions: .ownerReadWrite)
            try file.closeAfter { _ = try file.writeAll(bytes) }
        }
        guard rename(new, path) == 0 else { throw .last }
    }

    /// The names in a directory, without "." and "..". Names that are not UTF-8 are left out.
    static func names(in path: String) throws(Errno) -> [String] {
        guard let directory = opendir(path) else { throw .last }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(
                    to: CChar.self, capacity: MemoryLayout.size(ofValue: tuple.pointee)
                ) { String(validatingCString: $0) }
            }
            if let name, name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    static func exists(_ path: String) -> Bool {
        access(path, F_OK) == 0
    }

    /// Runs throwing code of SystemPackage, whose errors are all `Errno`.
    private static func rethrowing<R>(_ body: () throws -> R) throws(Errno) -> R {
        do {
            return try body()
        } catch let error as Errno {
            throw error
        } catch {
            throw .ioError
        }
    }
}

extension Errno {
    /// The error of the libc call just made.
    static var last: Errno { Errno(rawValue: errno) }
}

/// `text` without white space at its ends.
func trimmed(_ text: String) -> String {
    var rest = Substring(text)
    while let first = rest.first, first.isWhitespace { rest.removeFirst() }
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return String(rest)
}
