import ArgumentParser
import Glibc
import MountRegistry

struct Mount: ParsableCommand {
    enum Accelerate: String, ExpressibleByArgument, CaseIterable {
        case auto, require, off
    }

    static let configuration = CommandConfiguration(
        abstract: "Mounts the directory SOURCE at MOUNTPOINT.",
        discussion: """
            Goes into the background once the mount answers, and prints one line that says whether \
            it is accelerated, or why not. MOUNTPOINT must be an empty directory outside SOURCE. If \
            a killed daemon left a dead mount there, it is removed first.

            Options of -o:
              ro rw suid nosuid dev nodev exec noexec sync async dirsync
              symfollow nosymfollow
              accelerate=auto|require|off, threads=N, cache_entries=N
                              as the options below, which take precedence
              noatime         reading does not change access times in SOURCE
                              (ro implies it); nodiratime: of directories
              allow_other     all users may use the mount, as the permissions of
                              its files allow; without it only root may
              allow_root      only root may, which is the default
              noacl           ignore access control lists of SOURCE
              fsname=NAME     the device that df shows (default: SOURCE)
              subtype=NAME    what mount(8) shows after "fuse."
                              (default: shortfuse)
              max_read=BYTES
              cache_data=BYTES
                              memory for file data, reserved at once (default:
                              64M); 0: no data is kept, each open asks the daemon
              cache_file_max=BYTES
                              keep the data of files up to this size (default: 1M)
              kernel_cache=auto|off
                              use the kernel's own caches, too (default: auto)
              opens=daemon|kernel
                              kernel: open and close files without a request, for
                              hosts without the module. Then close(2) reports no
                              errors, a running program can be written to,
                              O_NOATIME has no effect, chattr +a and +i are
                              checked at the write, and after a change of
                              permissions an open file may need another open
                              (default: daemon)
              kernel_cache_settle=MS
                              for this long after a change the kernel keeps no
                              attributes. If a task can be delayed for longer, an
                              answer may be stale (default: 512)
              source_changes=watch|none|ttl=SECONDS
                              changes made directly in SOURCE are visible at once;
                              not at all (only if nobody makes any); after this
                              time (default: watch)
              verify=RATE     compare this many cached entries per second with
                              SOURCE; status shows the differences, which must be
                              0 (default: 0)
              context=... fscontext=... defcontext=... rootcontext=...
                              for SELinux
              remount         change ro, nosuid and the like of a mounted SOURCE
            default_permissions is always on: the kernel checks owners and modes. As with any \
            libfuse mount, nosuid and nodev are in force unless suid and dev are given. user \
            and users imply nosuid,nodev,noexec, as with mount(8). Options that only \
            mount(8) reads (defaults, nofail, x-...) and the relatime family are accepted and \
            have no effect.

            With mount.shortfuse installed, mount(8) and fstab work, too:
              mount -t shortfuse -o accelerate=require /srv/data /mnt
              /srv/data  /mnt  shortfuse  allow_other,nofail  0  0

            An ordinary user can mount on a directory of their own, through fusermount3. Such a mount \
            is not accelerated, and the daemon acts in SOURCE as this user: files \
            that others create belong to the user. allow_other and allow_root need the line \
            user_allow_other in /etc/fuse.conf. suid, dev, nosymfollow, SELinux contexts and remount \
            need root.

            The daemon keeps its state, counters and log in /run/shortfuse/, or for an ordinary user in \
            $XDG_RUNTIME_DIR/shortfuse/. The environment variable SHORTFUSE_RUNTIME_DIRECTORY sets \
            another directory.

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

    @Flag(name: .shortAndLong, help: "Print nothing on success.")
    var quiet = false

    @Option(
        help: ArgumentHelp(
            "Answer requests in the kernel: auto (if possible), require (or fail), off. (default: auto)",
            valueName: "how"))
    var accelerate: Accelerate?

    @Option(
        help: ArgumentHelp(
            "The number of files whose attributes the maps hold, a power of two; 128 bytes each. "
                + "(default: \(Self.defaultCacheEntries))",
            valueName: "n"))
    var cacheEntries: Int?

    @Option(
        help: ArgumentHelp(
            "The maximum number of requests in progress, each on its own thread; others "
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

    @Argument(help: "The directory to mirror.")
    var source: Path

    @Argument(help: "Where to mount it.")
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
