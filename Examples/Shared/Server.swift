import Dispatch
import FuseSession
import Glibc
import StoreFS
import Synchronization
import SystemPackage

/// Holds a tree, and serves it to clients that keep what they were told, each under a lease.
actor Server {
    /// What can be recalled: a name, or all of a node.
    private enum Key: Hashable {
        case name(FileName, Int)
        case node(Int)
    }

    private let leases: LeaseKeeper<Key, Int>
    private var tree = MemoryTree()
    /// Sent to from anywhere.
    private let clients = Mutex<[Int: Wire<Reply, Question>]>([:])
    private var lastClient = 0
    /// How often each client was told of a node, which it may have open when its last name is gone.
    private var known: [Int: [Int: Int]] = [:]

    init(leaseSeconds: Double) { leases = LeaseKeeper(seconds: leaseSeconds) }

    /// Serves whoever connects to the socket at `path`, for ever.
    static func serve(at path: String, leaseSeconds: Double) throws(Errno) -> Never {
        let server = Server(leaseSeconds: leaseSeconds)
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        unlink(path)
        guard withAddress(path, { bind(listener, $0, $1) }) == 0, listen(listener, 64) == 0 else {
            throw Errno(rawValue: errno)
        }
        while true {
            let peer = accept(listener, nil, nil)
            if peer >= 0 {
                DispatchQueue(label: "receive").async { receive(Wire(peer), server) }
            }
        }
    }

    private static func receive(_ wire: Wire<Reply, Question>, _ server: Server) {
        let (stream, input) = AsyncStream<RemoteMessage<Question>>.makeStream()
        Task {
            let client = await server.add(wire)
            for await message in stream { await server.take(message, from: client) }
            await server.remove(client)
        }
        while let message = wire.receive() { input.yield(message) }
        input.finish()
    }

    private func add(_ wire: Wire<Reply, Question>) -> Int {
        lastClient += 1
        clients.withLock { $0[lastClient] = wire }
        return lastClient
    }

    /// What it keeps ends with its lease.
    private func remove(_ client: Int) {
        clients.withLock { $0[client] = nil }
        for node in known.keys { forget(node, by: client, times: .max) }
    }

    private func forget(_ node: Int, by client: Int, times: Int) {
        let left = (known[node]?[client] ?? 0) - times
        known[node]?[client] = left > 0 ? left : nil
        guard known[node]?.isEmpty ?? true else { return }
        known[node] = nil
        tree.drop(node)
    }

    /// Questions are taken in order, and answered in any.
    private func take(_ message: RemoteMessage<Question>, from client: Int) async {
        switch message.body {
        case .extendLease:
            let length = await leases.extend(client)
            send(RemoteMessage(.lease(length), number: message.number), to: client)
        case .dropped(let recall): await leases.dropped(recall, by: client)
        case .forget(let node, let times): forget(node, by: client, times: times)
        default:
            Task {
                var reply = RemoteMessage(Reply.nothing, number: message.number)
                do throws(Errno) {
                    (reply.body, reply.data) = try await answer(message, client)
                } catch {
                    reply.body = .failed(error.rawValue)
                }
                send(reply, to: client)
            }
        }
    }

    private nonisolated func send(_ message: RemoteMessage<Reply>, to client: Int) {
        clients.withLock { $0[client] }?.send(message)
    }

    private func answer(
        _ message: RemoteMessage<Question>, _ client: Int
    ) async throws(Errno) -> (Reply, [UInt8]) {
        switch message.body {
        case .attributes(let node):
            await leases.hold([.node(node)], by: client)
            return (.attributes(try tree.node(node).attributes), [])
        case .find(let name, let directory): return (try await find(name, directory, client), [])
        case .list(let directory):
            await leases.hold([.node(directory)], by: client)
            return (.listed(try tree.list(directory)), [])
        case .read(let file, let offset, let count):
            await leases.hold([.node(file)], by: client)
            return (.data, try tree.node(file).data.read(at: offset, count: count))
        case .target(let link): return (.data, try tree.node(link).target)
        case .extendedAttribute(let name, let node):
            await leases.hold([.node(node)], by: client)
            let value = try tree.node(node).extended[name]
            return (value == nil ? .nothing : .data, value ?? [])
        case .extendedAttributeNames(let node):
            await leases.hold([.node(node)], by: client)
            return (.names(Array(try tree.node(node).extended.keys)), [])
        case .change(let change, let caller):
            let made = try await make(change, by: caller)
            if case .setAttributes = change { return (.found(tree.found(made)), []) }
            return (tell(client, of: made), [])
        case .write(let file, let offset, let caller):
            _ = try await make(.write(file, message.data, at: offset), by: caller)
            return (.nothing, [])
        default: throw .noFunction
        }
    }

    /// What the name leads to is known when nobody changes the name, and then may be changing itself.
    private func find(
        _ name: FileName, _ directory: Int, _ client: Int
    ) async throws(Errno) -> Reply {
        var child: Int?
        repeat {
            child = try tree.child(name, of: directory)
            await leases.hold(
                child.map { [.name(name, directory), .node($0)] } ?? [.name(name, directory)],
                by: client)
        } while try tree.child(name, of: directory) != child
        return tell(client, of: child)
    }

    private func tell(_ client: Int, of node: Int?) -> Reply {
        if let node { known[node, default: [:]][client, default: 0] += 1 }
        return .found(tree.found(node))
    }

    private func make(_ change: Change<Int>, by caller: Caller) async throws(Errno) -> Int? {
        let concerns = Mutex<[Concern<Int>]>([])
        let messages = LeaseKeeper<Key, Int>.Messages(
            recall: { client, number in
                let body = Reply.recall(number, concerns.withLock { $0 })
                self.send(RemoteMessage(body), to: client)
            }, cutOff: { client in self.clients.withLock { $0[client] }?.end() })
        let keys = await leases.begin(messages) {
            let now = await self.concerns(change)
            concerns.withLock { $0 = now }
            return Self.keys(of: now)
        }
        let result: Result<Int?, Errno>
        do throws(Errno) {
            result = .success(try tree.apply(change, by: caller))
        } catch {
            result = .failure(error)
        }
        await leases.end(keys)
        return try result.get()
    }

    private func concerns(_ change: Change<Int>) -> [Concern<Int>] { tree.concerns(change) }

    private static func keys(of concerns: [Concern<Int>]) -> Set<Key> {
        concerns.reduce(into: []) { keys, concern in
            switch concern {
            case .attributes(let node), .data(let node), .extendedAttributes(let node):
                keys.insert(.node(node))
            case .name(let name, let directory):
                keys.formUnion([.node(directory), .name(name, directory)])
            }
        }
    }
}
