import ArgumentParser
import CShortfuseABI
import Glibc
import Logging
import MountRegistry

/// The root command: only help and the list of the others.
struct Shortfuse: ParsableCommand {
    /// Of this program, and of the module that comes with it.
    static let version = SHORTFUSE_VERSION

    static let configuration = CommandConfiguration(
        commandName: "shortfuse",
        abstract: "Mounts a directory through FUSE and answers its hot requests in the kernel.",
        discussion: """
            Each request to a FUSE daemon costs two context switches. shortfuse keeps names, \
            attributes, extended attributes and the data of small files in BPF maps, so that the \
            kernel answers and the daemon sleeps. Every change through the mount \
            goes through the daemon, which first removes what it concerns from the maps: an answer \
            is never stale. The daemon also watches SOURCE; a change made there directly is visible \
            through the mount within 100 milliseconds.

            First steps, as root:
              shortfuse doctor                   check whether this kernel can accelerate
              shortfuse mount /srv/data /mnt     mount /srv/data at /mnt, in the background
              shortfuse status                   show the mounts, and their requests
              shortfuse stats --watch /mnt       show the figures of one mount, every second
              shortfuse warm /mnt                fill the maps in advance
              shortfuse metrics                  serve the figures of all mounts to Prometheus
              shortfuse unmount /mnt
              shortfuse attach /home/me/remote   accelerate the mount of another FUSE daemon

            Exit codes:
              0   success
              1   failure; one line on standard error names the cause and the remedy
                  (doctor: no acceleration here; warm: not everything was read)
              64  invalid command line
            """,
        version: version,
        subcommands: [
            Mount.self, Unmount.self, Attach.self, Detach.self, Status.self, Stats.self,
            Metrics.self, Warm.self, Doctor.self, Ask.self,
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
