import Glibc
import SystemPackage

/// The few file operations that the commands share.
package enum Files {
    /// The whole file, as far as `limit` bytes. Right for /proc and /sys, whose sizes say 0.
    package static func read(_ path: Path, limit: Int = 1 << 24) throws(Errno) -> [UInt8] {
        try rethrowing { () throws -> [UInt8] in
            let file = try FileDescriptor.open(path.filePath, .readOnly, options: .closeOnExec)
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
    package static func text(_ path: Path) -> String? {
        guard let bytes = try? read(path) else { return nil }
        return trimmed(String(decoding: bytes, as: UTF8.self))
    }

    /// Replaces the file in one step, so that a reader sees the old text or the new one.
    package static func replace(_ path: Path, with bytes: [UInt8]) throws(Errno) {
        let new: Path = "\(path).new"
        do throws(Errno) {
            try rethrowing {
                let file = try FileDescriptor.open(
                    new.filePath, .writeOnly, options: [.create, .truncate, .closeOnExec],
                    permissions: .ownerReadWrite)
                try file.closeAfter { _ = try file.writeAll(bytes) }
            }
            guard rename(new.cString, path.cString) == 0 else { throw .last }
        } catch {
            unlink(new.cString)
            throw error
        }
    }

    /// The names in a directory, without "." and "..".
    package static func names(in path: Path) throws(Errno) -> [Path] {
        guard let directory = opendir(path.cString) else { throw .last }
        defer { closedir(directory) }
        var names: [Path] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(
                    to: CChar.self, capacity: MemoryLayout.size(ofValue: tuple.pointee)
                ) { Path(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    package static func exists(_ path: Path) -> Bool {
        access(path.cString, F_OK) == 0
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
    package static var last: Errno { Errno(rawValue: errno) }
}

/// `text` without white space at its ends.
package func trimmed(_ text: String) -> String {
    var rest = Substring(text)
    while let first = rest.first, first.isWhitespace { rest.removeFirst() }
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return String(rest)
}
