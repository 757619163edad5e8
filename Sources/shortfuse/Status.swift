import ArgumentParser
import Glibc

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Shows the mounts, and who answered how many of their requests.",
        discussion: """
            Per mount and kind of request:
              daemon    requests that reached the daemon since it started
              answered  requests that the kernel answered from the maps instead
              passed    requests that the kernel looked at and had no answer for
              refused   requests that the kernel did not understand: should stay 0

            A mount whose daemon was killed is shown as dead; `shortfuse unmount` removes it.

            Examples:
              shortfuse status
              shortfuse status --json /mnt | jq '.mounts[0].daemon_requests'
            """)

    @Flag(help: "Print JSON.")
    var json = false

    @Argument(help: "Only the mount here.")
    var mountpoint: String?

    func run() throws {
        let mounts = try mountpoint.map { try [Self.find($0)] } ?? Self.all()
        let reports = try mounts.map { try MountReport($0, runtime: $1) }
        if json {
            try JSON.print(StatusReport(mounts: reports))
        } else if reports.isEmpty {
            print("No mounts. `shortfuse mount SOURCE MOUNTPOINT` makes one.")
        } else {
            print(reports.map(\.text).joined(separator: "\n\n"))
        }
    }

    private static func find(
        _ path: String
    ) throws(Failure) -> (MountState, RuntimeDirectory) {
        let mountpoint: String
        do {
            mountpoint = try Paths.canonical(path)
        } catch {
            throw Failure("\(path): \(error); `shortfuse status` lists the mounts")
        }
        let runtime = RuntimeDirectory(mountpoint: mountpoint)
        guard let state = try runtime.state(), state.mountpoint == mountpoint else {
            throw Failure("\(path): not a shortfuse mount; `shortfuse status` lists the mounts")
        }
        return (state, runtime)
    }

    /// A state that cannot be read is told, and does not hide the others.
    private static func all() throws(Failure) -> [(MountState, RuntimeDirectory)] {
        var found: [(MountState, RuntimeDirectory)] = []
        for runtime in try RuntimeDirectory.all() {
            do {
                if let state = try runtime.state() { found.append((state, runtime)) }
            } catch {
                guard geteuid() == 0 else { throw error }
                warn(error.description)
            }
        }
        return found
    }
}
