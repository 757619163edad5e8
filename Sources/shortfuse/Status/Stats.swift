import ArgumentParser
import Glibc
import MountRegistry

struct Stats: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows how many requests of a mount the kernel answered, and how fast.",
        usage: "shortfuse stats [--watch[=<seconds>]] [--json] <mountpoint>",
        discussion: """
            For each kind of request:
              answered  requests that a BPF program answered from the maps
              passed    requests that a BPF program had no answer for
              refused   requests that a BPF program did not understand: should
                        stay 0
              daemon    requests that reached the daemon since it started
              hit %     answered as a percentage of answered and daemon
            For each map:
              entries, capacity   entries in use, and the most that it holds
              bytes, reserved     the same in bytes of keys and values
              evictions           entries replaced by others ("-": the kernel
                                  chooses them and does not count)
            The daemon's time for a request is measured from its arrival until the reply is written; \
            INIT, DESTROY and FORGET are not measured. Times are exact to 1/16.

            --watch prints again every second, and adds rates per second and the daemon's time since the last \
            output. stats sends no request to the mount. In JSON, times are in nanoseconds, and \
            --watch prints one line each time.

            Examples:
              shortfuse stats /mnt
              shortfuse stats --watch /mnt              every second, until Ctrl-C
              shortfuse stats --watch=10 --json /mnt | jq .interval.total.hit_ratio
            """)

    @Option(
        help: ArgumentHelp(
            "Print again at this interval; --watch alone: every second.", valueName: "seconds"))
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
