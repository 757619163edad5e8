import ArgumentParser
import CShortfuseABI
import Glibc
import Logging

/// The root command: only help and the list of the others.
struct Shortfuse: ParsableCommand {
    /// Of this program, and of the module that comes with it.
    static let version = SHORTFUSE_VERSION

    static let configuration = CommandConfiguration(
        commandName: "shortfuse",
        abstract: "Mounts a directory through FUSE and answers its hot requests in the kernel.",
        discussion: """
            A FUSE daemon costs two context switches for each request. shortfuse keeps names, \
            attributes, extended attributes and small files' data in BPF maps too, so that the \
            kernel answers for them itself and the daemon sleeps. Every change made through the mount \
            goes through the daemon, which empties the maps before it changes anything: an answer \
            is never stale. Changes made in the source directory itself, behind the mount, are \
            watched, and show within 100 milliseconds.

            First steps, as root:
              shortfuse doctor                 can this kernel accelerate? what is missing?
              shortfuse mount /srv/data /mnt   mount /srv/data at /mnt, in the background
              shortfuse status                 what is mounted, who answered how much
              shortfuse stats --watch /mnt     one mount in figures, every second
              shortfuse warm /mnt              fill the maps before anybody waits
              shortfuse metrics                the figures of all mounts, for Prometheus
              shortfuse unmount /mnt
              shortfuse attach /home/me/remote    answer for somebody else's FUSE mount

            Exit codes:
              0   done
              1   not done; one line on standard error names the cause and the mend
                  (doctor: acceleration does not work here; warm: not all was read)
              64  the command line was not understood
            """,
        version: version,
        subcommands: [
            Mount.self, Unmount.self, Attach.self, Detach.self, Status.self, Stats.self,
            Metrics.self, Warm.self, Doctor.self, Ask.self, Guard.self,
        ])
}

@main
enum Main {
    static func main() {
        LoggingSystem.bootstrap(StreamLogHandler.standardError)
        do {
            // Swift has the arguments from there, and without it none.
            guard Files.exists("/proc/self/cmdline") else {
                throw Failure("/proc: not mounted; mount it: mount -t proc proc /proc")
            }
            try RuntimeDirectory.checkEnvironment()
            var arguments = Array(Arguments.all.dropFirst())
            if let call = try HelperCall.find(
                program: Arguments.all.first ?? "", arguments: arguments, commands: commands)
            {
                try call.enterNamespace()
                arguments = call.arguments
            }
            var command = try Shortfuse.parseAsRoot(Stats.completing(arguments))
            try command.run()
        } catch let failure as Failure {
            fail(failure.description)
        } catch {
            exit(because: error)
        }
    }

    private static var commands: [String] {
        ["help"]
            + Shortfuse.configuration.subcommands.map {
                $0.configuration.commandName ?? $0._commandName
            }
    }

    /// As `Shortfuse.exit(withError:)`, but arguments in the message are printable.
    private static func exit(because error: any Error) -> Never {
        let code = Shortfuse.exitCode(for: error)
        let message = Arguments.printable(Shortfuse.fullMessage(for: error))
        if !message.isEmpty {
            write(line: message, to: code.isSuccess ? STDOUT_FILENO : STDERR_FILENO)
        }
        Glibc.exit(code.rawValue)
    }
}
