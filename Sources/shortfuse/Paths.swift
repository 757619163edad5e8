import Glibc
import SystemPackage

/// Absolute, symlink-free paths.
enum Paths {
    /// The canonical form of `path`. The last component may be a dead mount: no call here asks the
    /// file system mounted there.
    static func canonical(_ path: String) throws(Errno) -> String {
        if let resolved = realpath(path, nil) {
            defer { free(resolved) }
            guard let text = String(validatingCString: resolved) else {
                throw .illegalByteSequence
            }
            return text
        }
        let error = Errno.last
        guard error == .socketNotConnected, let (parent, last) = split(path) else { throw error }
        let head = try canonical(parent)
        return head == "/" ? "/" + last : head + "/" + last
    }

    /// Parent and last component, nil where there is none to take off.
    static func split(_ path: String) -> (parent: String, last: String)? {
        var rest = Substring(path)
        while rest.last == "/" { rest.removeLast() }
        guard let slash = rest.lastIndex(of: "/") else {
            return rest.isEmpty || rest == "." || rest == ".." ? nil : (".", String(rest))
        }
        let last = rest[rest.index(after: slash)...]
        guard last != ".", last != ".." else { return nil }
        return (slash == rest.startIndex ? "/" : String(rest[..<slash]), String(last))
    }

    /// True if `path` is `directory` or below it, also where a bind mount hides it: compares the
    /// files themselves, not only their names.
    static func isInside(_ path: String, directory: String) -> Bool {
        var target = stat()
        guard stat(directory, &target) == 0 else { return false }
        var ancestor = path
        while true {
            var found = stat()
            if stat(ancestor, &found) == 0, found.st_dev == target.st_dev,
                found.st_ino == target.st_ino
            {
                return true
            }
            guard ancestor != "/", let (parent, _) = split(ancestor) else { return false }
            ancestor = parent
        }
    }
}
