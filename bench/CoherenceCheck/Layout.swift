import Glibc
import Syscall
import SystemPackage

/// What is in the directory under test: few objects, so that calls meet.
enum Layout {
    /// 0 and 1 hold files, 2 and 3 hold directories.
    static let directories = ["files-a", "files-b", "directories-a", "directories-b"]
    /// Of what changes behind the mount.
    static let behind = ["behind-a", "behind-b"]

    /// Around the lengths at which the maps change.
    static let names = [
        "n", String(repeating: "m", count: 32), String(repeating: "l", count: 33),
        String(repeating: "k", count: 200),
    ]

    enum File: Int, CaseIterable {
        /// Its size, mode and owner change.
        case attributes
        /// Written and read as a whole, past the page cache where the file system can.
        case direct
        /// The same through the page cache.
        case buffered
        /// Its extended attribute changes.
        case extended

        var name: String { "\(self)" }
        /// Bytes, but for `attributes`.
        var size: Int { self == .direct ? 4096 : self == .buffered ? 512 : 0 }
    }

    /// Not `user.`, which tmpfs has only since Linux 6.6.
    static let extendedAttribute = "trusted.coherence"
    static let extendedSize = 64
    static let initialMode: UInt32 = 0o644

    /// Makes it all in the existing `directory`, with the tag 0 in all data.
    static func make(in directory: String) throws {
        for name in directories + behind {
            guard mkdir("\(directory)/\(name)", 0o755) == 0 else {
                throw Failure("cannot make \(directory)/\(name)", errno)
            }
        }
        for file in File.allCases {
            let path = "\(directory)/\(file.name)"
            let fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode_t(initialMode))
            guard fd >= 0 else { throw Failure("cannot make \(path)", errno) }
            defer { close(fd) }
            let zeros = [UInt8](repeating: 0, count: max(file.size, extendedSize))
            guard Glibc.write(fd, zeros, file.size) == file.size,
                fchmod(fd, mode_t(initialMode)) == 0
            else { throw Failure("cannot write \(path)", errno) }
            if file == .extended {
                do {
                    try zeros.withUnsafeBytes { zeros in
                        try Syscall.setExtendedAttribute(
                            of: path, extendedAttribute, to: zeros, flags: 0)
                    }
                } catch {
                    throw Failure("cannot set \(extendedAttribute) of \(path): \(error)")
                }
            }
        }
    }
}

/// What ends the run before it can judge anything: one line.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String, _ code: Int32? = nil) {
        self.description = description + (code.map { ": \(Errno(rawValue: $0))" } ?? "")
    }
}
