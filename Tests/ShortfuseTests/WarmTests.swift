import Glibc
import Synchronization
import Syscall
import Testing

@testable import MountRegistry
@testable import shortfuse

/// The walk asks a directory as it asks a mount, so these need neither a mount nor root.
@Suite struct WarmTests {
    private let scratch: Scratch

    init() throws {
        scratch = try Scratch()
    }

    private func target(_ path: [UInt8]) throws -> WarmTarget {
        var found = stat()
        try #require(stat(scratch.path, &found) == 0)
        let mount = WarmMount(device: found.st_dev, mountpoint: Path(scratch.path), state: nil)
        return WarmTarget(path: path, follows: false, mount: mount)
    }

    /// - Returns: what was done, and the lines told, sorted.
    private func warm(
        _ paths: [[UInt8]]? = nil, options: TreeWarmer.Options = .init()
    ) throws -> (WarmReport, [String]) {
        let lines = Lines()
        let warmer = TreeWarmer(
            try (paths ?? [Array(scratch.path.utf8)]).map(target), options: options
        ) { lines.add($0) }
        #expect(warmer.run(watch: { _ in }))
        #expect(warmer.counts.directories.value == warmer.counts.directoriesFound.value)
        return (WarmReport(warmer.counts, seconds: 1), lines.all)
    }

    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0.sorted() } }
    }

    private func write(_ count: Int, to name: [UInt8]) {
        let path = Array("\(scratch.path)/".utf8) + name
        let file = open(path.map { CChar(bitPattern: $0) } + [0], O_WRONLY | O_CREAT, 0o644)
        ftruncate(file, count)
        close(file)
    }

    @Test(arguments: [1, 4])
    func countsEachKind(threads: Int) throws {
        for directory in 0..<3 {
            _ = scratch.make("d\(directory)")
            for file in 0..<200 { write(file, to: Array("d\(directory)/f\(file)".utf8)) }
        }
        write(5000, to: [0xff, 0xfe])
        write(1, to: Array("two\nlines".utf8))
        mkdir(scratch.path + "/e", 0o755)
        symlink("/nowhere", scratch.path + "/broken")
        symlink("d0", scratch.path + "/link")
        mkfifo(scratch.path + "/fifo", 0o600)
        write(4097, to: Array("large".utf8))
        let (report, lines) = try warm(options: .init(maxFileSize: 4096, threads: threads))
        #expect(lines == [])
        #expect(report.files == 603)
        #expect(report.directories == 5)
        #expect(report.symlinks == 2)
        #expect(report.others == 1)
        #expect(report.tooLarge == 2)
        #expect(report.bytes == 3 * 199 * 100 + 1)
        #expect(report.errors == 0)
    }

    /// Sizes around blocks and around what is read at once.
    @Test(arguments: [0, 1, 4095, 4096, 4097, 1 << 20 - 1, 1 << 20, 1 << 20 + 1, 3 << 20])
    func readsAllOfAFile(size: Int) throws {
        write(size, to: [0x66])
        let path = Array("\(scratch.path)/f".utf8)
        let (report, _) = try warm([path], options: .init(maxFileSize: 1 << 22, threads: 2))
        #expect(report.files == 1 && report.directories == 0)
        #expect(report.bytes == size)
    }

    /// Far deeper than a path can be long, and with more to do on each level than descriptors.
    @Test func goesDeepWithFewDescriptors() throws {
        let name = String(repeating: "x", count: 200)
        let flags = Syscall.openPath | O_DIRECTORY
        var directory = open(scratch.path, flags)
        for _ in 0..<300 {
            for name in [name, "side"] { mkdirat(directory, name, 0o755) }
            let below = openat(directory, "side", flags)
            mkdirat(below, "below", 0o755)
            close(below)
            let next = openat(directory, name, flags)
            close(directory)
            directory = next
        }
        close(directory)
        let (report, lines) = try warm()
        #expect(lines == [])
        #expect(report.directories == 1 + 300 * 3)
        #expect(report.errors == 0)
    }

    @Test func manyStartsAndThoseThatAreGone() throws {
        let starts = (0..<50).map { scratch.make("d\($0)") }
        let gone = scratch.path + "/gone"
        let (report, lines) = try warm((starts + [gone]).map { Array($0.utf8) })
        #expect(report.directories == 50)
        #expect(lines == [])
    }

    /// Unmounted, and something else mounted, after the paths were checked.
    @Test func anotherMountMeanwhileIsNotWalked() throws {
        let mount = WarmMount(device: 0, mountpoint: Path(scratch.path), state: nil)
        let start = WarmTarget(path: Array(scratch.path.utf8), follows: false, mount: mount)
        let warmer = TreeWarmer([start], options: .init()) { Issue.record("told: \($0)") }
        #expect(!warmer.run(watch: { _ in }))
        #expect(warmer.counts.directoriesFound.value == 0)
    }

    @Test func elsewhereIsRefused() throws {
        var mounts: [dev_t: WarmMount] = [:]
        let failure = #expect(throws: Failure.self) {
            try WarmTarget(path: Array(scratch.path.utf8), mounts: &mounts)
        }
        #expect(failure?.description.contains("not on a shortfuse mount; ") == true)
        let missing = #expect(throws: Failure.self) {
            try WarmTarget(path: Array("\(scratch.path)/\u{1}".utf8), mounts: &mounts)
        }
        #expect(missing?.description.hasSuffix("/\\x01: does not exist; check the path") == true)
    }

    @Test func theSummaryIsOneLine() throws {
        write(2048, to: [0x66])
        let (report, _) = try warm()
        #expect(
            report.text
                == "warmed 1 file, 1 directory, 0 symlinks; read 2.0 KiB in 1.00 s; 0 errors")
        #expect(
            report.progress(found: 2)
                == "[##########----------] 1/2 directories  1 files  2.0 KiB  1 files/s")
    }

    /// A chain whose last reference goes must not take the stack with it.
    @Test func deepChainsEnd() {
        var directory = WalkDirectory(parent: nil, name: [0])
        for _ in 0..<500_000 { directory = WalkDirectory(parent: directory, name: [0]) }
        #expect(directory.parent != nil)
    }

    // MARK: The command line

    @Test(arguments: [
        ["warm"], ["warm", ""],
        ["warm", "--threads", "0", "/a"], ["warm", "--threads", "257", "/a"],
        ["warm", "--max-file-size=-1", "/a"], ["warm", "--max-file-size", "1K", "/a"],
    ])
    func usageErrorsExitWith64(arguments: [String]) {
        #expect {
            _ = try Shortfuse.parseAsRoot(arguments)
        } throws: { error in
            Shortfuse.exitCode(for: error).rawValue == 64
        }
    }
}

@Suite struct WorkQueueTests {
    /// Work that makes work, on more threads than processors, each item once.
    @Test func allIsDoneOnce() {
        let queue = WorkQueue([(depth: 0, place: 1)])
        let seen = Mutex<[Int]>([])
        Threads.run(
            8,
            {
                queue.work { item in
                    seen.withLock { $0.append(item.place) }
                    guard item.depth < 10 else { return }
                    for child in 0..<2 {
                        queue.push((depth: item.depth + 1, place: item.place * 2 + child))
                    }
                }
            }, meanwhile: { #expect(queue.waitUntilDone(milliseconds: 60_000)) })
        #expect(seen.withLock { $0.sorted() } == Array(1..<2048))
    }

    @Test func aFullQueueGivesWorkBack() {
        let queue = WorkQueue([1, 2])
        #expect(!queue.push(3, limit: 2))
        #expect(queue.push(3, limit: 3))
        #expect(!queue.waitUntilDone(milliseconds: 1))
        queue.stop()
        #expect(queue.isStopped)
        #expect(queue.push(4))
        #expect(queue.waitUntilDone(milliseconds: 0))
        queue.work { _ in Issue.record("work after the end") }
    }
}
