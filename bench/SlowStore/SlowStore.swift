import FuseSession
import StoreFS
import SystemPackage

/// A store with the directory `slow`, where each question takes a tenth of a second, and `fast` beside
/// it. Nothing is kept, so every call is a question. For tests: Tests/system/stores.
struct SlowStore: Store {
    enum Node: Hashable {
        case root
        case directory(isSlow: Bool)
        case file(isSlow: Bool)
    }

    let root = Node.root
    let isReadOnly = true

    private func attributes(_ node: Node) -> NodeAttributes {
        switch node {
        case .root: NodeAttributes(.directory, inode: 1, permissions: 0o755)
        case .directory(let isSlow):
            NodeAttributes(.directory, inode: isSlow ? 2 : 3, permissions: 0o755)
        case .file(let isSlow): NodeAttributes(.file, inode: isSlow ? 4 : 5, permissions: 0o644)
        }
    }

    private func wait(_ isSlow: Bool) async throws(Errno) {
        guard isSlow else { return }
        do {
            try await Task.sleep(for: .milliseconds(100), tolerance: .zero)
        } catch {
            throw .interrupted
        }
    }

    func attributes(of node: Node) async throws(Errno) -> Answer<NodeAttributes> {
        Answer(attributes(node), kept: .no)
    }

    /// All names in `slow` and `fast` are names of one file.
    func find(_ name: FileName, in directory: Node) async throws(Errno) -> Answer<Found<Node>?> {
        let node: Node
        switch directory {
        case .root where name.bytes == Array("slow".utf8): node = .directory(isSlow: true)
        case .root where name.bytes == Array("fast".utf8): node = .directory(isSlow: false)
        case .directory(let isSlow):
            try await wait(isSlow)
            node = .file(isSlow: isSlow)
        default: return Answer(nil, kept: .no)
        }
        return Answer(Found(node, attributes(node)), kept: .no)
    }
}

@main
struct Main {
    static func main() {
        StoreMount.serve(SlowStore(), at: CommandLine.arguments.dropFirst().first)
    }
}
