import ArgumentParser
import Glibc
import MountRegistry
import Synchronization

struct Warm: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Reads a tree, so that the kernel can answer for it.",
        discussion: """
            Reads each name, its attributes and extended attributes, the targets of symlinks and the \
            content of files through the mount, as any program would. Later requests for them are \
            answered in the kernel. Stays on the mount and follows no symlinks there; \
            PATH itself may be a symlink to the mount.

            If the tree does not fit into the maps, later entries replace earlier ones: `shortfuse stats` \
            shows evictions; mount with more --cache-entries. Without acceleration the kernel keeps names and \
            attributes in its own caches; content is then only in the caches of the source.

            Examples:
              shortfuse warm /mnt
              shortfuse warm --max-file-size 0 /mnt/src /mnt/include     no content

            Exit codes: 0 everything was read, 1 not everything; one line on standard error for each error.
            """)

    @Option(
        help: ArgumentHelp(
            "Skip larger files. Reads with O_DIRECT where possible, which does not fill the page cache.",
            valueName: "bytes"))
    var maxFileSize: Int64 = 1 << 20

    @Option(help: ArgumentHelp("The number of threads that read.", valueName: "n"))
    var threads = 4

    @Flag(help: "Print the summary as JSON.")
    var json = false

    @Argument(help: "Files or directories on a mount.")
    var paths: [Path]

    func validate() throws {
        guard maxFileSize >= 0 else {
            throw ValidationError("--max-file-size \(maxFileSize): give a number of bytes")
        }
        guard (1...256).contains(threads) else {
            throw ValidationError("--threads \(threads): give a number from 1 to 256")
        }
        guard !paths.contains("") else { throw ValidationError("PATH is empty") }
    }

    func run() throws {
        var mounts: [dev_t: WarmMount] = [:]
        let targets = try paths.map { path in
            try WarmTarget(path: path.bytes, mounts: &mounts)
        }
        for mount in mounts.values.sorted(by: { $0.mountpoint < $1.mountpoint }) {
            guard let state = mount.state, !state.accelerated else { continue }
            let kept =
                state.kernelCacheReason == nil
                ? "names and attributes, and no content" : "nothing of this"
            warn(
                "\(mount.mountpoint): not accelerated (\(state.reason ?? "not recorded why")): "
                    + "the kernel keeps \(kept)")
        }
        let terminal = Terminal(STDERR_FILENO)
        let output = Mutex(())
        let warmer = TreeWarmer(
            targets, options: .init(maxFileSize: maxFileSize, threads: threads)
        ) { line in
            output.withLock { _ in
                terminal?.clearLine()
                warn(line)
            }
        }
        let clock = ContinuousClock()
        let start = clock.now
        func report() -> WarmReport {
            WarmReport(warmer.counts, seconds: start.duration(to: clock.now) / .seconds(1))
        }
        let isComplete = warmer.run { counts in
            output.withLock { _ in
                terminal?.show(line: report().progress(found: counts.directoriesFound.value))
            }
        }
        terminal?.clearLine()
        guard isComplete else {
            let mountpoints = mounts.values.map(\.mountpoint).sorted().map(\.description)
                .joined(separator: ", ")
            throw Failure("\(mountpoints): broke down meanwhile; `shortfuse status` tells more")
        }
        let summary = report()
        if json {
            try JSON.print(summary)
        } else {
            print(summary.text)
        }
        if summary.errors > 0 { throw ExitCode.failure }
    }
}
