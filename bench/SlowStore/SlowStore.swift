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
    enum Node: Hashable {
        case root, slow, fast, late
        case file(in: Directory)
    }

    enum Directory: Int { case slow, fast, late }

    let root = Node.root
    private let directories: [FileName: Node]
    private let late = Mutex<Set<FileName>>([])
    private let delays = Delays()

    init() {
        let all: [(String, Node)] = [("slow", .slow), ("fast", .fast), ("late", .late)]
        directories = Dictionary(
            uniqueKeysWithValues: all.compactMap { name, node in
                FileName(name).map { ($0, node) }
            })
    }

    private func attributes(_ node: Node) -> NodeAttributes {
        switch node {
        case .root: NodeAttributes(.directory, inode: 1, permissions: 0o755)
        case .slow: NodeAttributes(.directory, inode: 2, permissions: 0o755)
        case .fast: NodeAttributes(.directory, inode: 3, permissions: 0o755)
        case .late: NodeAttributes(.directory, inode: 4, permissions: 0o777)
        case .file(let directory):
            NodeAttributes(.file, inode: 5 + UInt64(directory.rawValue), permissions: 0o644)
        }
    }

    private func found(_ node: Node) -> Found<Node> { Found(node, attributes(node)) }

    func attributes(of node: Node) async throws(Errno) -> Answer<NodeAttributes> {
        if case .file = node {
            Answer(attributes(node), kept: .no)
        } else {
            Answer(attributes(node), kept: .forever)
        }
    }

    /// All names in one directory are names of one file.
    func find(_ name: FileName, in directory: Node) async throws(Errno) -> Answer<Found<Node>?> {
        switch directory {
        case .root:
            return Answer(directories[name].map(found), kept: .forever)
        case .slow:
            await delays.wait()
            return Answer(found(.file(in: .slow)), kept: .no)
        case .fast: return Answer(found(.file(in: .fast)), kept: .no)
        case .late:
            let isThere = late.withLock { $0.contains(name) }
            return Answer(isThere ? found(.file(in: .late)) : nil, kept: .untilTold)
        case .file: throw .notDirectory
        }
    }

    func begin(_ changes: ChangeSink<Node>) { delays.start() }

    func apply(_ change: Change<Node>, by caller: Caller) async throws(Errno) -> Found<Node>? {
        guard case .make(let name, in: .late, .file, _) = change else { throw .notSupported }
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
    private let waiting = Mutex<Deque<(end: UInt64, waiter: CheckedContinuation<Void, Never>)>>([])

    func start() {
        Task {
            while true {
                try? await Task.sleep(for: .milliseconds(1), tolerance: .zero)
                endDue()
            }
        }
    }

    func wait() async {
        await withCheckedContinuation { waiter in
            let end = Syscall.monotonicNanoseconds() + 100_000_000
            waiting.withLock { $0.append((end, waiter)) }
        }
    }

    private func endDue() {
        let now = Syscall.monotonicNanoseconds()
        let due = waiting.withLock { waiting in
            let count = waiting.firstIndex { $0.end > now } ?? waiting.count
            defer { waiting.removeFirst(count) }
            return Array(waiting.prefix(count))
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
