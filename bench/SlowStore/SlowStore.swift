import DequeModule
import FuseSession
import StoreFS
import Synchronization
import Syscall
import SystemPackage

/// `slow-store MOUNTPOINT [KEPT-SECONDS]`: in the directory `slow` each question takes a tenth of a second.
/// No file in it or in `fast` beside it is kept, so every call is a question. In `late` everything is kept,
/// and making a name takes two seconds, whether or not the caller waits for it; standard output tells when it
/// begins. For tests: Tests/system/stores.
final class SlowStore: Store {
    enum Directory: String, CaseIterable { case slow, fast, late }

    enum Node: Hashable {
        case root
        case directory(Directory)
        /// All names in one directory are names of one file.
        case file(in: Directory)
    }

    let root = Node.root
    private let late = Mutex<Set<FileName>>([])
    private let delays = Delays()

    private func attributes(_ node: Node) -> NodeAttributes {
        func number(_ directory: Directory) -> UInt64 {
            switch directory {
            case .slow: 2
            case .fast: 3
            case .late: 4
            }
        }
        return switch node {
        case .root: NodeAttributes(.directory, inode: 1, permissions: 0o755)
        case .directory(let directory):
            NodeAttributes(.directory, inode: number(directory), permissions: 0o755)
        case .file(let directory):
            NodeAttributes(.file, inode: 10 + number(directory), permissions: 0o644)
        }
    }

    private func found(_ node: Node) -> Found<Node> { Found(node, attributes(node)) }

    func attributes(of node: Node) async throws(Errno) -> Answer<NodeAttributes> {
        switch node {
        case .root, .directory: Answer(attributes(node), kept: .forever)
        case .file: Answer(attributes(node), kept: .no)
        }
    }

    func find(_ name: FileName, in directory: Node) async throws(Errno) -> Answer<Found<Node>?> {
        switch directory {
        case .root:
            let named = Directory.allCases.first { name.bytes.elementsEqual($0.rawValue.utf8) }
            return Answer(named.map { found(.directory($0)) }, kept: .forever)
        case .directory(.slow):
            await delays.wait()
            return Answer(found(.file(in: .slow)), kept: .no)
        case .directory(.fast): return Answer(found(.file(in: .fast)), kept: .no)
        case .directory(.late):
            let isThere = late.withLock { $0.contains(name) }
            return Answer(isThere ? found(.file(in: .late)) : nil, kept: .untilTold)
        case .file: throw .notDirectory
        }
    }

    func apply(_ change: Change<Node>, by caller: Caller) async throws(Errno) -> Found<Node>? {
        guard case .make(let name, in: .directory(.late), .file, _) = change else {
            throw .notSupported
        }
        _ = try? FileDescriptor.standardOutput.writeAll("making \(name)\n".utf8)
        // Not cancelled with the caller, as what a server does is not.
        await Task { try? await Task.sleep(for: .seconds(2)) }.value
        guard late.withLock({ $0.insert(name).inserted }) else { throw .fileExists }
        return found(.file(in: .late))
    }
}

/// Waits of a tenth of a second: one timer for all, as one connection to a server would be, so that most of
/// what is measured is the library.
final class Delays: Sendable {
    private struct State {
        var waiting: Deque<(end: UInt64, waiter: CheckedContinuation<Void, Never>)> = []
        var isRunning = false
    }

    private let state = Mutex(State())

    func wait() async {
        await withCheckedContinuation { waiter in
            let end = Syscall.monotonicNanoseconds() + 100_000_000
            let starts = state.withLock { state in
                state.waiting.append((end, waiter))
                defer { state.isRunning = true }
                return !state.isRunning
            }
            if starts { Task { await run() } }
        }
    }

    /// Until nobody waits.
    private func run() async {
        while let end = nextEnd() {
            let now = Syscall.monotonicNanoseconds()
            // Those that end within a millisecond share a wake-up.
            let sleep = max(end > now ? end - now : 0, 1_000_000)
            try? await Task.sleep(for: .nanoseconds(sleep), tolerance: .zero)
            endDue()
        }
    }

    private func nextEnd() -> UInt64? {
        state.withLock { state in
            state.isRunning = !state.waiting.isEmpty
            return state.waiting.first?.end
        }
    }

    private func endDue() {
        let now = Syscall.monotonicNanoseconds()
        let due = state.withLock { state in
            let count = state.waiting.firstIndex { $0.end > now } ?? state.waiting.count
            defer { state.waiting.removeFirst(count) }
            return Array(state.waiting.prefix(count))
        }
        for (_, waiter) in due { waiter.resume() }
    }
}

@main
struct Main {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        var options = StoreMountOptions.fromEnvironment
        if let seconds = arguments.dropFirst().first.flatMap(Double.init) {
            options.keptSeconds = seconds
        }
        StoreMount.serve(SlowStore(), at: arguments.first, options: options)
    }
}
