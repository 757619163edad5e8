import MountRegistry
import Syscall
import SystemPackage

/// The command lines by which mount(8) and mount.fuse(8) have a file system mounted, made into one
/// of `shortfuse mount`:
///
///     mount.shortfuse SOURCE MOUNTPOINT [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]
///     shortfuse SOURCE MOUNTPOINT -o OPTIONS
struct HelperCall: Equatable {
    private(set) var arguments: [String] = []
    /// Of mounts, a file: where to mount.
    private(set) var namespace: Path?

    /// True for the name of a link to this program that mount(8) looks for.
    static func isHelper(_ program: String) -> Bool {
        let name = program.split(separator: "/").last ?? ""
        return name.hasPrefix("mount.") && name.hasSuffix("shortfuse")
    }

    /// - Parameters:
    ///   - program: by which name this program was started.
    ///   - arguments: as in `Arguments`.
    ///   - commands: that `shortfuse` has.
    /// - Returns: nil if this is no such command line.
    static func find(
        program: String, arguments: [String], commands: [String]
    ) throws(Failure) -> HelperCall? {
        if isHelper(program) { return try HelperCall(arguments, isForMount8: true) }
        // A path or an option tells it from a command that was spelled wrongly.
        guard let first = arguments.first, !first.hasPrefix("-"), !commands.contains(first),
            arguments.count > 1,
            first.unicodeScalars.contains("/") || arguments.contains(where: { $0.hasPrefix("-o") })
        else { return nil }
        return try HelperCall(arguments, isForMount8: false)
    }

    /// Has this process see the mounts of `namespace`. It must have one thread.
    func enterNamespace() throws(Failure) {
        guard let namespace else { return }
        do throws(Errno) {
            let file = Descriptor(owning: try Syscall.open(namespace.cString, flags: 0))
            try Syscall.enterMountNamespace(file.fd)
        } catch {
            throw Failure("-N \(namespace): \(error); give a file as /proc/PID/ns/mnt, as root")
        }
    }

    private init(_ given: [String], isForMount8: Bool) throws(Failure) {
        var places: [String] = []
        var options: [String] = []
        var switches: Set<Character> = []
        var rest = given[...]
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), word.unicodeScalars.count > 1 else {
                places.append(word)
                continue
            }
            var letters = word.dropFirst()
            while let letter = letters.popFirst() {
                switch letter {
                case "s", "f", "n", "v":
                    switches.insert(letter)
                case "o", "t", "N":
                    let value = letters.isEmpty ? rest.popFirst() : String(letters)
                    letters = ""
                    guard let value else {
                        throw Failure("-\(letter): needs a value; \(Self.usage)")
                    }
                    switch letter {
                    case "o": options.append(value)
                    case "N": namespace = Path(argument: value)
                    default: try Self.checkType(value)
                    }
                default:
                    throw Failure("\(Arguments.printable(word)): unknown; \(Self.usage)")
                }
            }
        }
        guard places.count == 2 else {
            throw Failure(
                "SOURCE and MOUNTPOINT wanted, got \(places.count) paths; \(Self.usage)")
        }
        if options.flatMap(MountOptions.split).contains("remount") {
            // mount(8) gives all flags that are to be set, and no others.
            options.insert("suid,dev,exec,async,symfollow,diratime", at: 0)
        } else if isForMount8, !OrdinaryUser.isCurrent {
            // The defaults of mount(8), and of mount.fuse(8), which gives them by itself. Not of users,
            // for whom mount(8) calls this with `user` in fstab.
            options.insert("suid,dev", at: 0)
        }
        arguments = ["mount"]
        // mount(8) says nothing of a mount that works.
        if !switches.contains("v") { arguments.append("--quiet") }
        if switches.contains("s") { arguments.append("--sloppy") }
        if switches.contains("f") { arguments.append("--fake") }
        arguments += options.map { "--options=\($0)" } + ["--"] + places
    }

    private static let usage =
        "usage: mount.shortfuse SOURCE MOUNTPOINT [-sfnv] [-N namespace] [-o options] [-t type]"

    private static func checkType(_ type: String) throws(Failure) {
        guard ["shortfuse", "fuse.shortfuse"].contains(type) else {
            throw Failure(
                "-t \(Arguments.printable(type)): not a type of shortfuse; "
                    + "give shortfuse or fuse.shortfuse")
        }
    }
}
