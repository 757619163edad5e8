import ArgumentParser
import MountRegistry

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the mounts, and how many of their requests the kernel answered.",
        discussion: """
            For each mount and kind of request:
              daemon    requests that reached the daemon since it started
              answered  requests that a BPF program answered from the maps
              passed    requests that a BPF program had no answer for
              refused   requests that a BPF program did not understand: should
                        stay 0
            For an attached mount instead of these: answered, and asked, the requests that its \
            daemon received.

            A mount whose daemon was killed is shown as dead; `shortfuse unmount` removes it.

            Paths are bytes. A byte that is not UTF-8 is printed as \\xHH and a backslash as \\\\; in text, \
            not in JSON, a control character is \\xHH, too. bash reads that in $'...'. All other \
            characters are printed unchanged.

            Examples:
              shortfuse status
              shortfuse status --json /mnt | jq '.mounts[0].daemon_requests'
            """)

    @Flag(help: "Print JSON.")
    var json = false

    @Argument(help: "Only the mount here.")
    var mountpoint: Path?

    func run() throws {
        let mounts = try mountpoint.map { try [KnownMounts.find($0)] } ?? KnownMounts.all()
        let reports = try mounts.map { try MountReport($0, runtime: $1) }
        if json {
            try JSON.print(StatusReport(mounts: reports))
        } else if reports.isEmpty {
            print("No mounts. `shortfuse mount SOURCE MOUNTPOINT` makes one.")
        } else {
            print(reports.map(\.text).joined(separator: "\n\n"))
        }
    }
}
