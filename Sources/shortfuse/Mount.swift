import ArgumentParser
import Glibc

struct Mount: ParsableCommand {
    enum Accelerate: String, ExpressibleByArgument, CaseIterable {
        case auto, require, off
    }

    static let configuration = CommandConfiguration(
        abstract: "Mounts the directory SOURCE at MOUNTPOINT.",
        discussion: """
            Goes to the background once the mount answers, and prints in one line whether it is \
            accelerated, or why not. MOUNTPOINT must be an empty directory outside SOURCE. A dead \
            mount that a killed daemon left there is cleaned up first.

            Options of -o:
              ro rw suid nosuid dev nodev exec noexec sync async dirsync noatime
              allow_other     everybody may enter, with the rights that the files give them;
                              without it only root may, as with any FUSE mount of root
              allow_root      only root, said aloud
              noacl           ignore the access control lists of SOURCE: modes alone decide
              fsname=NAME     what df shows as the device (SOURCE if not given)
              subtype=NAME    what mount shows after "fuse." (shortfuse if not given)
              max_read=BYTES
              cache_data=BYTES      how much file data the kernel keeps (64M), taken at once;
                                    0: none, and every open goes to the daemon
              cache_file_max=BYTES  up to which size a file's data is kept (1M)
              source_changes=watch|none|ttl=SECONDS
                                    what others change in SOURCE shows: at once; not at
                                    all (only if there is nothing); after so long (watch)
              verify=RATE           compare so many cached entries a second with SOURCE; status
                                    shows the differences, which must be 0 (0)
              context=… fscontext=… defcontext=… rootcontext=…   for SELinux
            default_permissions is always on: the kernel checks owners and modes. As with any \
            libfuse mount, nosuid and nodev are in force unless suid and dev are given. The \
            options that only mount(8) reads (defaults, nofail, x-…) and the relatime family are \
            taken and change nothing.

            The daemon's state, counters and log are in /run/shortfuse/.

            Examples:
              shortfuse mount /srv/data /mnt
              shortfuse mount -o ro,allow_other --accelerate require /srv/data /mnt
              shortfuse mount --foreground /srv/data /mnt        until Ctrl-C
            """)

    @Flag(
        name: [.customShort("f"), .long],
        help: "Stay in the foreground and log to standard error; Ctrl-C unmounts.")
    var foreground = false

    @Option(
        name: [.customShort("o", allowingJoined: true), .long],
        help: ArgumentHelp("Mount options, see above.", valueName: "opt,…"))
    var options: [String] = []

    @Option(
        help: ArgumentHelp(
            "Answer in the kernel: auto, if it can; require, or do not mount; off.",
            valueName: "how"))
    var accelerate = Accelerate.auto

    @Option(
        help: ArgumentHelp(
            "How many files' attributes the kernel keeps, a power of two; 128 bytes each.",
            valueName: "n"))
    var cacheEntries = 65536

    @Option(help: ArgumentHelp("At most so many threads of the daemon.", valueName: "n"))
    var threads = 10

    /// Set by `Background`: this is the daemon, and its parent waits for word here.
    @Option(help: .hidden)
    var readyDescriptor: CInt?

    @Argument(help: "The directory to show.")
    var source: String

    @Argument(help: "Where to show it.")
    var mountpoint: String

    func validate() throws {
        guard (64...(1 << 24)).contains(cacheEntries), cacheEntries.nonzeroBitCount == 1 else {
            throw ValidationError(
                "--cache-entries \(cacheEntries): give a power of two from 64 to 16777216")
        }
        guard (1...1024).contains(threads) else {
            throw ValidationError("--threads \(threads): give a number from 1 to 1024")
        }
    }

    func run() throws {
        if readyDescriptor == nil, !foreground {
            return try Background.start(arguments: daemonArguments)
        }
        let herald = Herald(descriptor: readyDescriptor)
        do {
            let options = try MountOptions(parsing: options)
            let plan = try MountPlan(source: source, mountpoint: mountpoint)
            let daemon = Daemon(
                plan: plan, options: options, accelerate: accelerate, cacheEntries: cacheEntries,
                threads: threads)
            try daemon.run(herald: herald)
        } catch {
            // Once mounted nobody listens any more: then the line goes to the log.
            guard herald.reportFailure("\(error)") else { throw error }
            throw ExitCode.failure
        }
    }

    /// This command again, as `Background` runs it.
    func daemonArguments(readyDescriptor: CInt) -> [String] {
        ["mount", "--ready-descriptor", "\(readyDescriptor)", "--accelerate", accelerate.rawValue]
            + ["--cache-entries", "\(cacheEntries)", "--threads", "\(threads)"]
            + options.map { "--options=\($0)" }
            + ["--", source, mountpoint]
    }
}
