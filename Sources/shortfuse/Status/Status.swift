import ArgumentParser

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the mounts, and who answered how many of their requests.",
        discussion: """
            Per mount and kind of request:
              daemon    requests that reached the daemon since it started
              answered  requests that the kernel answered from the maps instead
              passed    requests that the kernel looked at and had no answer for
              refused   requests that the kernel did not understand: should stay 0
            Of an attached mount, instead: asked, all requests that its daemon was sent.

            A mount whose daemon was killed is shown as dead; `shortfuse unmount` removes it.

            Paths are bytes, and printed so that they can be told apart: a byte that is not UTF-8 is \
            \\xHH, a backslash is \\\\; in text, not in JSON, a control character is \\xHH, too. bash \
            reads that in $'…'. All other paths are printed as they are.

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
