import Glibc

/// A program that is run on one path after another; its arguments are made before the clock starts.
final class Command {
    private var actions = posix_spawn_file_actions_t()
    private var arguments: [UnsafeMutablePointer<CChar>?]
    /// Where the path goes among them.
    private let place: Int
    /// One locale for all; and who only looks writes nothing (git its index, Python its __pycache__).
    private var environment: [UnsafeMutablePointer<CChar>?]

    /// The path goes between `first` and `last`.
    init(_ first: [String], _ last: [String] = []) {
        place = first.count
        arguments = Self.copies(of: first) + Self.copies(of: last)
        environment = Self.copies(of: [
            "PATH=/usr/bin:/bin", "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "PYTHONDONTWRITEBYTECODE=1",
        ])
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
    }

    /// With nil after the last.
    private static func copies(of strings: [String]) -> [UnsafeMutablePointer<CChar>?] {
        strings.map { strdup($0) } + [nil]
    }

    deinit {
        for argument in arguments + environment { free(argument) }
        posix_spawn_file_actions_destroy(&actions)
    }

    /// Whether it ended with exit status 0.
    func run(on path: UnsafeMutablePointer<CChar>) -> Bool {
        guard let program = arguments[0] else { return false }
        arguments[place] = path
        defer { arguments[place] = nil }
        var child = pid_t()
        var status: CInt = 0
        return posix_spawnp(&child, program, &actions, nil, &arguments, &environment) == 0
            && waitpid(child, &status, 0) == child && status == 0
    }

    /// The same, for what is not timed.
    func run(on path: String, below root: Root) throws {
        guard let full = strdup("\(root.name)/\(path)") else { throw root.failure(path) }
        defer { free(full) }
        errno = 0
        guard run(on: full) else {
            throw root.mismatch(path, arguments[0].map { "\(String(cString: $0)) failed" } ?? "")
        }
    }
}
