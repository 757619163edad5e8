import Glibc
import SystemPackage

/// Absolute, symlink-free paths.
package enum Paths {
    /// The canonical form of `path`. The last component may be a dead mount: no call here asks the
    /// file system mounted there.
    package static func canonical(_ path: Path) throws(Errno) -> Path {
        if let resolved = realpath(path.cString, nil) {
            defer { free(resolved) }
            return Path(cString: resolved)
        }
        let error = Errno.last
        guard error == .socketNotConnected, let (parent, last) = split(path) else { throw error }
        let head = try canonical(parent)
        return head == "/" ? "/\(last)" : "\(head)/\(last)"
    }

    /// Parent and last component, nil where there is none to take off.
    package static func split(_ path: Path) -> (parent: Path, last: Path)? {
        let separator = UInt8(ascii: "/")
        var rest = path.bytes[...]
        while rest.last == separator { rest.removeLast() }
        let slash = rest.lastIndex(of: separator)
        let last = Path(bytes: rest[(slash.map { $0 + 1 } ?? rest.startIndex)...])
        guard last != "", last != ".", last != ".." else { return nil }
        guard let slash else { return (".", last) }
        return (slash == rest.startIndex ? "/" : Path(bytes: rest[..<slash]), last)
    }

    /// True if `path` is `directory` or below it, also where a bind mount hides it: compares the
    /// files themselves, not only their names.
    package static func isInside(_ path: Path, directory: Path) -> Bool {
        var target = stat()
        guard stat(directory.cString, &target) == 0 else { return false }
        var ancestor = path
        while true {
            var found = stat()
            if stat(ancestor.cString, &found) == 0, found.st_dev == target.st_dev,
                found.st_ino == target.st_ino
            {
                return true
            }
            guard ancestor != "/", let (parent, _) = split(ancestor) else { return false }
            ancestor = parent
        }
    }
}
