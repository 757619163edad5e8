import ArgumentParser
import Glibc

struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows in figures how well the kernel answers for one mount.",
        usage: "shortfuse stats [--watch[=<seconds>]] [--json] <mountpoint>",
        discussion: """
            Per kind of request:
              answered  by the kernel, from the maps
              passed    looked at by the kernel, which had no answer
              refused   not understood by the kernel: should stay 0
              daemon    requests that reached the daemon since it started
              hit %     answered, of answered and daemon
            Per map of the cache:
              entries, capacity   in use, and as many as there can be
              bytes, reserved     the same in bytes of keys and values
              evictions           entries that gave way to others ("-": the kernel
                                  picks them, and does not count)
            The daemon's time for a request runs from its arrival until the reply is written; INIT, \
            DESTROY and FORGET are not timed. Times are told to 1/16 of themselves.

            With --watch also what happened since the last look: rates per second, and the daemon's \
            time. Looking sends no request to the mount. In JSON, times are in nanoseconds, and with \
            --watch each look is one line.

            Examples:
              shortfuse stats /mnt
              shortfuse stats --watch /mnt              every second, until Ctrl-C
              shortfuse stats --watch=10 --json /mnt | jq .interval.total.hit_ratio
            """)

    @Option(
        help: ArgumentHelp(
            "Look again every so many seconds; --watch alone: every second.", valueName: "seconds"))
    var watch: Double?

    @Flag(help: "Print JSON.")
    var json = false

    @Argument(help: "Where it is mounted.")
    var mountpoint: Path

    func validate() throws {
        guard (0.1...86_400).contains(watch ?? 1) else {
            throw ValidationError("--watch: give a number of seconds from 0.1 to 86400")
        }
    }

    /// To the parser an option either has a value or has none: "--watch" gets one here.
    static func completing(_ arguments: [String]) -> [String] {
        guard arguments.first == "stats" else { return arguments }
        let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
        return arguments[..<end].map { $0 == "--watch" ? "--watch=1" : $0 } + arguments[end...]
    }

    func run() throws {
        let (state, runtime) = try KnownMounts.find(mountpoint)
        let first = try StatsSample(runtime, mountpoint: state.mountpoint)
        if let watch {
            try StatsWatch(runtime: runtime, seconds: watch, json: json).run(from: first)
        } else if json {
            try JSON.print(StatsReport(first))
        } else {
            print(StatsReport(first).lines(withRates: false).joined(separator: "\n"))
        }
    }
}

/// `stats --watch`: look, show, wait, until a signal ends it.
private struct StatsWatch {
    let runtime: RuntimeDirectory
    let seconds: Double
    let json: Bool

    func run(from first: StatsSample) throws(Failure) {
        // Waited for instead: the terminal must be left as it was.
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
        sigprocmask(SIG_BLOCK, &signals, nil)

        let terminal = json ? nil : Terminal(STDOUT_FILENO)
        terminal?.enterScreen()
        var last: [String] = []
        defer {
            if let terminal {
                terminal.leaveScreen()
                write(line: last.joined(separator: "\n"), to: STDOUT_FILENO)
            }
        }
        var sample = first
        var previous: StatsSample?
        var next = ContinuousClock.now
        while true {
            let report = StatsReport(sample, since: previous)
            last = json ? [] : report.lines(withRates: true)
            // Nobody reads any more: the end, and no failure.
            guard try show(report, lines: last, on: terminal, isFirst: previous == nil) else {
                return
            }
            next += .seconds(seconds)
            if Self.wait(until: next, for: &signals) { return }
            previous = sample
            sample = try StatsSample(runtime, mountpoint: first.mount.mountpoint)
        }
    }

    private func show(
        _ report: StatsReport, lines: [String], on terminal: Terminal?, isFirst: Bool
    ) throws(Failure) -> Bool {
        if json {
            let line = String(decoding: try JSON.encode(report, inOneLine: true), as: UTF8.self)
            return write(text: line, to: STDOUT_FILENO)
        }
        if let terminal { return terminal.show(screen: lines) }
        let block = (isFirst ? lines : [""] + lines).joined(separator: "\n")
        return write(line: block, to: STDOUT_FILENO)
    }

    /// True if one of `signals` came.
    private static func wait(
        until end: ContinuousClock.Instant, for signals: inout sigset_t
    ) -> Bool {
        while true {
            let left = max(ContinuousClock.now.duration(to: end), .zero).components
            var timeout = timespec(
                tv_sec: time_t(left.seconds), tv_nsec: Int(left.attoseconds / 1_000_000_000))
            if sigtimedwait(&signals, nil, &timeout) > 0 { return true }
            if errno == EAGAIN { return false }
        }
    }
}
