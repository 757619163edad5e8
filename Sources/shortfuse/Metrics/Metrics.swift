import ArgumentParser
import Glibc
import MountRegistry
import Syscall

struct Metrics: ParsableCommand {
    /// On a telephone's keys the last four digits are FUSE.
    static let defaultPort = 13873
    static let defaultListen = "127.0.0.1:\(defaultPort)"

    static let configuration = CommandConfiguration(
        abstract: "Serves the figures of all mounts over HTTP, for Prometheus.",
        discussion: """
            Answers GET /metrics in Prometheus' text format, in the foreground, until a signal ends \
            it. It serves the figures of `shortfuse status` and `shortfuse stats`, with the mount point as \
            the label "mount":
              shortfuse_up                      1: it serves and answers within 5 seconds
              shortfuse_accelerated             and why not: shortfuse_mount_info
              shortfuse_kernel_requests_total   by opcode; answered, passed, refused
              shortfuse_daemon_requests_total   by opcode
              shortfuse_daemon_request_duration_seconds   a histogram
              shortfuse_map_entries             by map; with capacity, bytes and evictions
              shortfuse_different_entries_total and more; each has its HELP line

            Without a mount point it serves all current mounts. With mount points it serves only those; \
            one that is unmounted later is shown as down.

            Each scrape sends one request, STATFS, to each mount. A daemon that hangs is shown as down, \
            and gets no other request until it has answered. Everything else is read from files and maps.

            It must run as root or as the user who mounted: nobody else can read state and maps. \
            Anyone who can connect can read paths and counts: on a loopback address, all users of this \
            machine. There is no TLS and no password; use a proxy for access from other machines.

            Examples:
              shortfuse metrics
              shortfuse metrics --listen 127.0.0.1:0 /mnt      prints the port that it chose
              curl --silent http://\(defaultListen)/metrics
              systemctl enable --now shortfuse-metrics         as a service
            """)

    @Option(
        help: ArgumentHelp(
            "Where to listen: a numeric address and a port; port 0 chooses a free one.",
            valueName: "address:port"))
    var listen = Self.defaultListen

    @Argument(help: ArgumentHelp("Only the mounts here.", valueName: "mountpoint"))
    var mountpoints: [Path] = []

    func run() throws {
        let address = try ListenAddress(listen)
        let named = try mountpoints.map { try KnownMounts.find($0).0.mountpoint }
        // What cannot be read now will not be readable later.
        if named.isEmpty { _ = try KnownMounts.all { _ in } }
        // Keeps no file system busy.
        chdir("/")

        signal(SIGPIPE, SIG_IGN)
        // Before there are other threads, so that none of them takes a signal. Only looked at, never
        // read: whoever waits is to see it.
        let end = try Syscall.makeSignalDescriptor([SIGINT, SIGTERM, SIGHUP])
        let collector = MetricsCollector(named: named.uniqued(), until: end)
        let server = try MetricsServer(address, collector: collector)
        write(line: "shortfuse: serving http://\(server.address)/metrics", to: STDOUT_FILENO)
        var polled = pollfd(fd: end.rawValue, events: Int16(POLLIN), revents: 0)
        while poll(&polled, 1, -1) < 0, errno == EINTR {}
        server.stop()
    }
}

extension [Path] {
    /// In the same order; of equal ones the first.
    fileprivate func uniqued() -> [Path] {
        var seen: Set<Path> = []
        return filter { seen.insert($0).inserted }
    }
}
