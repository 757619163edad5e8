import FuseSession
import Glibc
import StoreFS
import Synchronization
import SystemPackage

/// `clock MOUNTPOINT`: the file `seconds` counts the seconds since the start, and `log` gets a line in
/// each of them. Nobody writes them: they change by themselves, and the kernel is told.
final class Clock: Store {
    enum Node: Hashable, CaseIterable {
        case directory, seconds, log

        var name: FileName? { FileName(self == .seconds ? "seconds" : "log") }
        var inode: UInt64 { self == .directory ? 1 : self == .seconds ? 2 : 3 }
    }

    private struct State {
        var count = 0
        var log: [UInt8] = []
        var time = Timestamp()
    }

    let root = Node.directory
    let isReadOnly = true
    private let state = Mutex(State())

    /// Changes both files once a second.
    func begin(_ changes: ChangeSink<Node>) {
        Task {
            while true {
                try? await Task.sleep(for: .seconds(1))
                changes.changing([.data(.seconds), .data(.log)], tick)
            }
        }
    }

    private func tick() {
        state.withLock { state in
            state.count += 1
            state.log += Array("second \(state.count)\n".utf8)
            state.time = .now(after: state.time)
        }
    }

    private static func text(_ node: Node, _ state: State) -> [UInt8] {
        node == .seconds ? Array("\(state.count)\n".utf8) : state.log
    }

    private func attributes(_ node: Node) -> NodeAttributes {
        if node == .directory { return NodeAttributes(.directory, inode: 1, permissions: 0o555) }
        return state.withLock { state in
            var attributes = NodeAttributes(
                .file, inode: node.inode, permissions: 0o444,
                size: Int64(Self.text(node, state).count))
            attributes.modified = state.time
            attributes.changed = state.time
            return attributes
        }
    }

    func attributes(of node: Node) async throws(Errno) -> Answer<NodeAttributes> {
        Answer(attributes(node), kept: .untilTold)
    }

    func find(_ name: FileName, in directory: Node) async throws(Errno) -> Answer<Found<Node>?> {
        let node = [Node.seconds, .log].first { $0.name == name }
        // The names never change, and the attributes do: so not `forever`.
        return Answer(node.map { Found($0, attributes($0)) }, kept: .untilTold)
    }

    func list(_ directory: Node) async throws(Errno) -> Answer<[Listed]> {
        Answer(
            [Node.seconds, .log].compactMap { node in
                node.name.map { Listed($0, inode: node.inode, kind: .file) }
            }, kept: .forever)
    }

    func read(_ file: Node, at offset: Int64, count: Int) async throws(Errno) -> Answer<[UInt8]> {
        let text = state.withLock { Self.text(file, $0) }
        return Answer(Array(text.dropFirst(Int(offset)).prefix(count)), kept: .untilTold)
    }
}

@main
struct Main {
    static func main() { StoreMount.serve(Clock(), at: CommandLine.arguments.dropFirst().first) }
}
