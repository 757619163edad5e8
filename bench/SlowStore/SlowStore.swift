import FuseSession
import StoreFS
import Synchronization
import SystemPackage

/// `slow-store MOUNTPOINT [KEPT-SECONDS]`: in the directory `slow` each question takes a tenth of a second.
/// Nothing of it and of `fast` beside it is kept, so every call is a question. In `late` everything is
/// kept, and making a name takes a second, whether or not the caller waits for it. For tests:
/// Tests/system/stores.
final class SlowStore: Store {
    enum Node: Hashable {
        case root, slow, fast, late
        case file(in: Directory)
    }

    enum Directory: Int { case slow, fast, late }

    let root = Node.root
    private let late = Mutex<Set<FileName>>([])

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
        Answer(attributes(node), kept: .no)
    }

    /// All names in one directory are names of one file.
    func find(_ name: FileName, in directory: Node) async throws(Errno) -> Answer<Found<Node>?> {
        switch directory {
        case .root:
            let node = [Node.slow, .fast, .late].first { name.bytes == Array("\($0)".utf8) }
            return Answer(node.map(found), kept: .no)
        case .slow:
            do {
                try await Task.sleep(for: .milliseconds(100), tolerance: .zero)
            } catch {
                throw .interrupted
            }
            return Answer(found(.file(in: .slow)), kept: .no)
        case .fast: return Answer(found(.file(in: .fast)), kept: .no)
        case .late:
            let isThere = late.withLock { $0.contains(name) }
            return Answer(isThere ? found(.file(in: .late)) : nil, kept: .untilTold)
        case .file: throw .notDirectory
        }
    }

    func apply(_ change: Change<Node>, by caller: Caller) async throws(Errno) -> Found<Node>? {
        guard case .make(let name, in: .late, .file, _) = change else { throw .notSupported }
        // Not cancelled with the caller, as what a server does is not.
        await Task { try? await Task.sleep(for: .seconds(1)) }.value
        guard late.withLock({ $0.insert(name).inserted }) else { throw .fileExists }
        return found(.file(in: .late))
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
