import ArgumentParser
import Logging

/// The root command: only help and the list of the others.
struct Shortfuse: ParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "shortfuse",
        abstract: "Mounts a directory through FUSE and answers its hot requests in the kernel.",
        discussion: """
            A FUSE daemon costs two context switches for each request. shortfuse keeps names, \
            attributes, extended attributes and small files' data in BPF maps too, so that the \
            kernel answers for them itself and the daemon sleeps. Every change made through the mount \
            goes through the daemon, which empties the maps before it changes anything: an answer \
            is never stale. Changes made in the source directory itself, behind the mount, are \
            not watched yet: make them through the mount.

            First steps, as root:
              shortfuse doctor                 can this kernel accelerate? what is missing?
              shortfuse mount /srv/data /mnt   mount /srv/data at /mnt, in the background
              shortfuse status                 what is mounted, who answered how much
              shortfuse stats --watch /mnt     one mount in figures, every second
              shortfuse warm /mnt              fill the maps before anybody waits
              shortfuse unmount /mnt

            Exit codes:
              0   done
              1   not done; one line on standard error names the cause and the mend
                  (doctor: acceleration does not work here; warm: not all was read)
              64  the command line was not understood
            """,
        version: version,
        subcommands: [
            Mount.self, Unmount.self, Status.self, Stats.self, Warm.self, Doctor.self, Ask.self,
        ])
}

@main
enum Main {
    static func main() {
        LoggingSystem.bootstrap(StreamLogHandler.standardError)
        do {
            var command = try Shortfuse.parseAsRoot(
                Stats.completing(Array(CommandLine.arguments.dropFirst())))
            try command.run()
        } catch let failure as Failure {
            fail(failure.description)
        } catch {
            Shortfuse.exit(withError: error)
        }
    }
}
