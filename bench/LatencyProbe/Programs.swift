import Glibc

/// A git repository whose files are all committed.
struct Repository: Entry {
    let path: String
    let count: Int
    let seed: UInt64

    static var status: Command { git("status", "--porcelain") }

    private static func git(_ arguments: String...) -> Command {
        Command(["git", "-C"], ["-c", "user.name=probe", "-c", "user.email=probe"] + arguments)
    }

    func create(below root: Root) throws {
        for index in 0..<count {
            let file = RegularFile(
                path: "\(path)/directory\(index / 100)/file\(index)", size: 1024,
                seed: seed &+ UInt64(index))
            try file.create(below: root)
        }
        try Self.git("init", "--quiet").run(on: path, below: root)
        try Self.git("add", ".").run(on: path, below: root)
        // Quiet also where a commit of the same is there.
        try Self.git("commit", "--quiet", "--allow-empty", "--message=all").run(
            on: path, below: root)
    }

    /// Unchanged in git's eyes, so that status only has to look at attributes.
    func check(below root: Root) throws {
        try Self.git("diff-files", "--quiet").run(on: path, below: root)
    }
}

/// So many Python modules and a main program that imports them.
struct PythonModules: Entry {
    let path: String
    let count: Int

    /// With the compiled modules where the first import puts them, as in an installed package.
    static var importAll: Command {
        Command([
            "python3", "-S", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import everything",
        ])
    }

    func create(below root: Root) throws {
        try root.makeParents(of: "\(path)/module")
        for index in 0..<count { try write("value = \(index)\n", to: "module\(index).py", root) }
        let imports = (0..<count).map { "import module\($0)\n" }.joined()
        try write(imports, to: "everything.py", root)
        try Command(["python3", "-m", "compileall", "-q"]).run(on: path, below: root)
    }

    private func write(_ text: String, to name: String, _ root: Root) throws {
        let name = "\(path)/\(name)"
        let file = openat(root.descriptor, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw root.failure(name) }
        defer { close(file) }
        guard Glibc.write(file, text, text.utf8.count) == text.utf8.count else {
            throw root.failure(name)
        }
    }

    func check(below root: Root) throws {
        try Self.importAll.run(on: path, below: root)
    }
}
