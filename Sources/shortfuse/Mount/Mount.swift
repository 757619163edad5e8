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
              ro rw suid nosuid dev nodev exec noexec sync async dirsync symfollow nosymfollow
              accelerate=auto|require|off, threads=N, cache_entries=N
                              as the options below, which have the last word
              noatime         reading moves no time of access in SOURCE, as with ro; with
                              nodiratime no directory's
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
              kernel_cache=auto|off the kernel's own caches are used, too, and told before each
                                    change what to drop (auto)
              opens=daemon|kernel   the kernel opens and closes files and directories without asking:
                                    for hosts without the module. Lost: the errors of
                                    close(2); that a program that runs cannot be written;
                                    O_NOATIME; chattr +a and +i are checked when written;
                                    what was open before a change of permission may have
                                    to be opened again (daemon)
              kernel_cache_settle=MS  how long after a change the kernel keeps no attributes;
                                    shorter than tasks may be held up: an old answer (512)
              source_changes=watch|none|ttl=SECONDS
                                    what others change in SOURCE shows: at once; not at
                                    all (only if there is nothing); after so long (watch)
              verify=RATE           compare so many cached entries a second with SOURCE; status
                                    shows the differences, which must be 0 (0)
              context=… fscontext=… defcontext=… rootcontext=…   for SELinux
              remount         change ro, nosuid and their like of a mount that is in use
            default_permissions is always on: the kernel checks owners and modes. As with any \
            libfuse mount, nosuid and nodev are in force unless suid and dev are given. user \
            and users stand for nosuid,nodev,noexec, as with mount(8). The other options that only \
            mount(8) reads (defaults, nofail, x-…) and the relatime family are taken and change \
            nothing.

            mount(8) mounts it, too, also from fstab, where mount.shortfuse is installed:
              mount -t shortfuse -o accelerate=require /srv/data /mnt
              /srv/data  /mnt  shortfuse  allow_other,nofail  0  0

            An ordinary user mounts, too, through fusermount3, on a directory of their own. Such a mount \
            is not accelerated, and whatever anybody does there is done in SOURCE as this user: files \
            that others make are the user's. allow_other and allow_root need the line \
            user_allow_other in /etc/fuse.conf. suid, dev, nosymfollow, SELinux contexts and remount \
            are for root.

            The daemon's state, counters and log are in /run/shortfuse/, of an ordinary user in \
            $XDG_RUNTIME_DIR/shortfuse/; or, with SHORTFUSE_RUNTIME_DIRECTORY in the environment, in \
            that directory.

            Examples:
              shortfuse mount /srv/data /mnt
              shortfuse mount -o ro,allow_other --accelerate require /srv/data /mnt
              shortfuse mount --foreground /srv/data /mnt        until Ctrl-C
              shortfuse mount ~/src ~/mnt                        as an ordinary user
            """)

    @Flag(
        name: [.customShort("f"), .long],
        help: "Stay in the foreground and log to standard error; Ctrl-C unmounts.")
    var foreground = false

    @Option(
        name: [.customShort("o", allowingJoined: true), .long],
        help: ArgumentHelp("Mount options, see above.", valueName: "opt,…"))
    var options: [String] = []

    @Flag(name: .shortAndLong, help: "Print nothing if all is well.")
    var quiet = false

    @Option(
        help: ArgumentHelp(
            "Answer in the kernel: auto, if it can; require, or do not mount; off. (default: auto)",
            valueName: "how"))
    var accelerate: Accelerate?

    @Option(
        help: ArgumentHelp(
            "How many files' attributes the kernel keeps, a power of two; 128 bytes each. "
                + "(default: \(Self.defaultCacheEntries))",
            valueName: "n"))
    var cacheEntries: Int?

    @Option(
        help: ArgumentHelp(
            "So many requests are under way at once, each on a thread of its own; further ones "
                + "wait. (default: \(Self.defaultThreads))",
            valueName: "n"))
    var threads: Int?

    /// As mount(8) has them with -s and -f: leave out unknown options; do not mount.
    @Flag(help: .hidden)
    var sloppy = false
    @Flag(help: .hidden)
    var fake = false

    /// Set by `Background`: this is the daemon, and its parent waits for word here.
    @Option(help: .hidden)
    var readyDescriptor: CInt?

    @Argument(help: "The directory to show.")
    var source: Path

    @Argument(help: "Where to show it.")
    var mountpoint: Path

    private static let defaultThreads = 4096
    private static let defaultCacheEntries = 65536

    static func isCacheEntries(_ number: Int) -> Bool {
        (64...(1 << 24)).contains(number) && number.nonzeroBitCount == 1
    }

    static func isThreads(_ number: Int) -> Bool { (1...65536).contains(number) }

    func validate() throws {
        if let cacheEntries, !Self.isCacheEntries(cacheEntries) {
            throw ValidationError(
                "--cache-entries \(cacheEntries): give a power of two from 64 to 16777216")
        }
        if let threads, !Self.isThreads(threads) {
            throw ValidationError("--threads \(threads): give a number from 1 to 65536")
        }
    }

    func run() throws {
        if readyDescriptor == nil {
            let options = try MountOptions(parsing: options, isSloppy: sloppy)
            if fake { return }
            if options.isRemount {
                return try Remount(options: options, mountpoint: mountpoint).run()
            }
            if !foreground {
                return try Background.start(arguments: daemonArguments, isQuiet: quiet)
            }
        }
        let herald = Herald(descriptor: readyDescriptor)
        do {
            let options = try MountOptions(parsing: options, isSloppy: sloppy)
            let accelerate = accelerate ?? options.accelerate ?? .auto
            if OrdinaryUser.isCurrent {
                try OrdinaryUser.check(options, accelerate: accelerate)
            }
            let plan = try MountPlan(source: source, mountpoint: mountpoint)
            let daemon = Daemon(
                plan: plan, options: options,
                accelerate: accelerate,
                cacheEntries: cacheEntries ?? options.cacheEntries ?? Self.defaultCacheEntries,
                threads: threads ?? options.threads ?? Self.defaultThreads)
            try daemon.run(herald: herald)
        } catch {
            // Once mounted nobody listens any more: then the line goes to the log.
            guard herald.reportFailure("\(error)") else { throw error }
            throw ExitCode.failure
        }
    }

    /// This command again, as `Background` runs it.
    func daemonArguments(readyDescriptor: CInt) -> [String] {
        var arguments = ["mount", "--ready-descriptor", "\(readyDescriptor)"]
        if let accelerate { arguments += ["--accelerate", accelerate.rawValue] }
        if let cacheEntries { arguments += ["--cache-entries", "\(cacheEntries)"] }
        if let threads { arguments += ["--threads", "\(threads)"] }
        if sloppy { arguments.append("--sloppy") }
        return arguments + options.map { "--options=\($0)" }
            + ["--", source.argument, mountpoint.argument]
    }
}
