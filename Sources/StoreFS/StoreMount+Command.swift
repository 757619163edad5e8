import FuseSession
import Glibc
import Syscall
import SystemPackage

extension StoreMount {
    /// All of a command's work: mounts `store`, says so on standard output, serves until the mount is
    /// gone or a signal arrives, and ends the process. What is wrong is one line on standard error.
    ///
    /// The exit status is 0 when the mount is over, 1 if it fails, and 64 without a path.
    /// - Parameters:
    ///   - store: what is mounted.
    ///   - path: an existing directory; nil: the argument that names it is missing.
    ///   - options: by default `StoreMountOptions.fromEnvironment`.
    public static func serve(
        _ store: S, at path: String?, options: StoreMountOptions = .fromEnvironment
    ) -> Never {
        guard let path else {
            say("usage: \(CommandLine.arguments[0]) MOUNTPOINT …", to: STDERR_FILENO)
            Glibc.exit(64)
        }
        do throws(StoreMountError) {
            let mount = try StoreMount(store, at: FilePath(path), options: options)
            switch mount.acceleration {
            case .accelerated: say("\(path): mounted, accelerated", to: STDOUT_FILENO)
            case .plain(let reason):
                say("\(path): mounted, not accelerated: \(reason)", to: STDOUT_FILENO)
            }
            try mount.run()
        } catch {
            say("\(error)", to: STDERR_FILENO)
            Glibc.exit(1)
        }
        Glibc.exit(0)
    }

    private static func say(_ line: String, to descriptor: CInt) {
        let bytes = Array("\(line)\n".utf8)
        _ = write(descriptor, bytes, bytes.count)
    }
}

extension StoreMountOptions {
    /// `SHORTFUSE_ACCELERATE` is auto, require or off; `SHORTFUSE_VERIFY` is `verifiedPerSecond`. Mounts of
    /// root admit other users.
    public static var fromEnvironment: StoreMountOptions {
        var options = StoreMountOptions()
        let name = FilePath(CommandLine.arguments[0]).lastComponent?.string ?? "store"
        options.sourceName = name
        options.subtype = name
        switch variable("SHORTFUSE_ACCELERATE") {
        case "require": options.acceleration = .required
        case "off": options.acceleration = .off
        default: break
        }
        options.verifiedPerSecond = variable("SHORTFUSE_VERIFY").flatMap { Int($0) } ?? 0
        if geteuid() == 0 { options.mountOptions.append("allow_other") }
        return options
    }

    private static func variable(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}
