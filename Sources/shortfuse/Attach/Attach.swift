import ArgumentParser
import Glibc
import KernelCache
import MountRegistry
import SystemPackage

struct Attach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Accelerates a FUSE mount that another daemon serves.",
        discussion: """
            Works on any FUSE mount, even while it is in use; its daemon needs no change. The kernel keeps \
            the daemon's answers and repeats them for the same requests: names, names that do not \
            exist, attributes, links, extended attributes, statfs. A change through the mount drops \
            the answers that it concerns before the daemon receives it.

            --policy says how long an answer is valid:
              own          for the time-out that the daemon gave; where FUSE has no
                           time-out, for the shortest one that the daemon gave
                           (default). Right for any mount: nothing is older than
                           without shortfuse
              ttl=SECONDS  for this time, unless a change is made through the mount.
                           For data that is also changed elsewhere, where a few
                           seconds do not matter: sshfs, s3fs, rclone
              exclusive    until a change through the mount or a notification from
                           the daemon. Only for data that is changed only through
                           this mount: squashfuse and other archives; bindfs,
                           mergerfs, gocryptfs, fuse-overlayfs on directories that
                           nothing else changes

            With ttl and exclusive, a file that was opened for reading and closed can be opened again \
            without a request (with exclusive, also a directory). Use --opens no if the daemon must see \
            each open and close, for example to check for changes or to count them. The daemon may \
            receive the last close of a file up to a minute late.

            Without default_permissions the daemon may answer each caller differently, so only requests \
            of the user who mounted are answered.

            Examples:
              shortfuse attach /home/me/remote
              shortfuse attach --policy exclusive /mnt/archive
              shortfuse status /mnt/archive
              shortfuse detach /mnt/archive
            """)

    @Option(help: "How long an answer is valid: own, ttl=SECONDS or exclusive.")
    var policy = AttachPolicy.own

    enum Opens: String, ExpressibleByArgument, CaseIterable { case yes, no }

    @Option(
        help: """
            Whether a file that was closed can be opened again without a request, with the same handle.
            """)
    var opens = Opens.yes

    @Option(
        help: ArgumentHelp(
            "The maximum number of such files; keep it well below the daemon's limit (ulimit -n).",
            valueName: "n"))
    var openFiles: UInt32 = 512

    @Option(
        help: ArgumentHelp(
            "The number of files whose attributes and names the maps hold, a power of two; about 500 bytes "
                + "each.", valueName: "n"))
    var cacheEntries = 65536

    @Flag(
        name: [.customShort("f"), .long],
        help: "Stay in the foreground; Ctrl-C detaches.")
    var foreground = false

    /// Set by `Background`, as of `mount`.
    @Option(help: .hidden)
    var readyDescriptor: CInt?

    @Argument(help: "Where the mount is.")
    var mountpoint: Path

    func validate() throws {
        guard Mount.isCacheEntries(cacheEntries) else {
            throw ValidationError(
                "--cache-entries \(cacheEntries): give a power of two from 64 to 16777216")
        }
    }

    func run() throws {
        guard geteuid() == 0 else { throw Failure("attach: not root; run it with sudo") }
        if readyDescriptor == nil, !foreground {
            return try Background.start(arguments: daemonArguments, isQuiet: false)
        }
        let line = readyDescriptor.map { Line(descriptor: $0) }
        do {
            try AttachedDaemon(
                mountpoint: mountpoint, policy: policy, entries: cacheEntries,
                openFiles: opens == .yes ? openFiles : 0
            )
            .run(line)
        } catch {
            guard let line, line.send(.failed("\(error)")) else { throw error }
            throw ExitCode.failure
        }
    }

    private func daemonArguments(readyDescriptor: CInt) -> [String] {
        ["attach", "--ready-descriptor", "\(readyDescriptor)", "--policy", policy.text]
            + ["--cache-entries", "\(cacheEntries)", "--opens", opens.rawValue]
            + ["--open-files", "\(openFiles)", "--", mountpoint.argument]
    }
}

struct Detach: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Detaches from a mount; the mount and its daemon keep running.",
        discussion: """
            Says how many of the mount's requests were answered meanwhile.

            Example:
              shortfuse detach /mnt/archive
            """)

    @Argument(help: "Where the mount is.")
    var mountpoint: Path

    /// The counts of lookups are settled meanwhile.
    private static let patience = Duration.seconds(20)

    func run() throws {
        guard geteuid() == 0 else { throw Failure("detach: not root; run it with sudo") }
        let mountpoint = try KnownMounts.place(self.mountpoint)
        let runtime = RuntimeDirectory(mountpoint: mountpoint)
        guard let state = try runtime.state(), state.attached != nil else {
            throw Failure(
                "\(mountpoint): shortfuse is not attached to it; `shortfuse status` lists the mounts"
            )
        }
        guard state.process.isAlive else {
            try runtime.clearAttached()
            print("\(mountpoint): cleaned up after a process that was gone")
            return
        }
        let gain = (try? MountReport(state, runtime: runtime))?.gain
        guard kill(state.process.pid, SIGTERM) == 0 || errno == ESRCH else {
            throw Failure("\(mountpoint): process \(state.process.pid): \(Errno.last)")
        }
        let clock = ContinuousClock()
        let end = clock.now + Self.patience
        while state.process.isAlive {
            guard clock.now < end else {
                throw Failure(
                    "\(mountpoint): process \(state.process.pid) has not ended after "
                        + "\(Self.patience); kill it")
            }
            usleep(5_000)
        }
        try runtime.clearAttached()
        if let gain { print("\(mountpoint): \(gain)") }
    }
}
