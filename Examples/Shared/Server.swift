import Dispatch
import FuseSession
import Glibc
import StoreFS
import SystemPackage

/// Serves a tree to clients that keep what they were told, each under a lease.
///
/// A change (1) marks what it concerns, so that questions about it wait; (2) recalls it from every
/// client that keeps some of it; (3) waits until each has dropped it, or its lease has ended; (4) is
/// made; (5) lets the questions go on, and is replied to.
actor Server {
    /// A connection. What it was told is kept for as long as its lease, whatever becomes of it.
    private final class Client: Sendable {
        let number: Int
        let wire: Wire
        /// Sends in order, and may have to wait for a client that is stopped.
        private let queue: DispatchQueue

        init(_ number: Int, _ wire: Wire) {
            self.number = number
            self.wire = wire
            queue = DispatchQueue(label: "client \(number)")
        }

        func send(_ message: Message<Reply>) {
            queue.async { [wire] in if !wire.send(message) { wire.end() } }
        }
    }

    /// What can be recalled: a name, or all of a node.
    private enum Key: Hashable {
        case name(FileName, Int)
        case node(Int)
    }

    private let leaseNanoseconds: UInt64
    private var tree = Tree()
    private var clients: [Int: Client] = [:]
    private var lastClient = 0
    /// When the lease of each client ends, also of those that are gone.
    private var leases: [Int: UInt64] = [:]
    private var holders: [Key: Set<Int>] = [:]
    /// How often each client was told of a node, which it have open after its last name is gone.
    private var known: [Int: [Int: Int]] = [:]
    private var changing: Set<Key> = []
    private var waiters: [CheckedContinuation<Void, Never>] = []
    /// By recall, who has not dropped it yet.
    private var recalls: [Int: Set<Int>] = [:]
    private var lastRecall = 0

    init(leaseSeconds: Double) { leaseNanoseconds = UInt64(leaseSeconds * 1e9) }

    /// Serves whoever connects to the socket at `path`, for ever.
    static func serve(at path: String, leaseSeconds: Double) throws(Errno) -> Never {
        let server = Server(leaseSeconds: leaseSeconds)
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = Wire.address(path)
        unlink(path)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0, listen(listener, 64) == 0 else { throw Errno(rawValue: errno) }
        while true {
            let peer = accept(listener, nil, nil)
            if peer < 0 { continue }
            DispatchQueue(label: "receive").async { receive(Wire(peer), server) }
        }
    }

    private static func receive(_ wire: Wire, _ server: Server) {
        let (stream, input) = AsyncStream<Message<Question>>.makeStream()
        Task {
            let client = await server.add(wire)
            for await message in stream { await server.take(message, from: client) }
            await server.remove(client)
        }
        while let message = wire.receive(Question.self) { input.yield(message) }
        input.finish()
    }

    private func add(_ wire: Wire) -> Int {
        lastClient += 1
        clients[lastClient] = Client(lastClient, wire)
        return lastClient
    }

    private func remove(_ client: Int) {
        clients[client] = nil
        for node in known.keys { forget(node, by: client, times: .max) }
        wake()
    }

    private func forget(_ node: Int, by client: Int, times: Int) {
        let left = (known[node]?[client] ?? 0) - times
        known[node]?[client] = left > 0 ? left : nil
        guard known[node]?.isEmpty ?? true else { return }
        known[node] = nil
        tree.drop(node)
    }

    private func tell(_ client: Int, of node: Int?) -> Reply {
        if let node { known[node, default: [:]][client, default: 0] += 1 }
        return .found(tree.found(node))
    }

    /// Questions are taken in order, and answered in any.
    private func take(_ message: Message<Question>, from client: Int) {
        switch message.body {
        case .extendLease:
            leases[client] = monotonic() + leaseNanoseconds
            clients[client]?.send(Message(number: message.number, body: .lease(leaseNanoseconds)))
        case .dropped(let recall):
            recalls[recall]?.remove(client)
            wake()
        case .forget(let node, let times):
            forget(node, by: client, times: times)
        default:
            Task {
                var reply = Message(number: message.number, body: Reply.none)
                do throws(Errno) {
                    (reply.body, reply.data) = try await answer(message, client)
                } catch {
                    reply.body = .failed(error.rawValue)
                }
                clients[client]?.send(reply)
            }
        }
    }

    private func answer(
        _ message: Message<Question>, _ client: Int
    ) async throws(Errno) -> (Reply, [UInt8]) {
        switch message.body {
        case .attributes(let node):
            await hold([.node(node)], client)
            return (.attributes(try tree.node(node).attributes), [])
        case .find(let name, let directory):
            // What it leads to is known when nobody changes the name, and then may be changing itself.
            var keys = [Key.name(name, directory)]
            while true {
                await hold(keys, client)
                let child = try tree.child(name, of: directory)
                guard let child, keys.last != .node(child) else { break }
                keys = [.name(name, directory), .node(child)]
            }
            return (tell(client, of: try tree.child(name, of: directory)), [])
        case .list(let directory):
            await hold([.node(directory)], client)
            return (
                .listed(
                    try tree.node(directory).children.compactMap { name, number in
                        tree.nodes[number].map {
                            Listed(name, inode: UInt64(number), kind: $0.attributes.kind)
                        }
                    }), []
            )
        case .read(let file, let offset, let count):
            await hold([.node(file)], client)
            return (.data, Array(try tree.node(file).data.dropFirst(Int(offset)).prefix(count)))
        case .target(let link): return (.data, try tree.node(link).data)
        case .extendedAttribute(let name, let node):
            await hold([.node(node)], client)
            let value = try tree.node(node).extended[name]
            return (value == nil ? .none : .data, value ?? [])
        case .extendedAttributeNames(let node):
            await hold([.node(node)], client)
            return (.names(Array(try tree.node(node).extended.keys)), [])
        case .change(let change, let caller):
            let made = try await make(change, by: caller, message.data)
            if case .setAttributes = change { return (.found(tree.found(made)), []) }
            return (tell(client, of: made), [])
        default: throw .noFunction
        }
    }

    /// Waits until nobody changes any of `keys`, and notes that `client` keeps them.
    private func hold(_ keys: [Key], _ client: Int) async {
        while !changing.isDisjoint(with: keys) { await sleep() }
        for key in keys { holders[key, default: []].insert(client) }
    }

    private func make(
        _ change: Change<Int>, by caller: Caller, _ data: [UInt8]
    ) async throws(Errno) -> Int? {
        var concerns = tree.concerns(change)
        var keys = Self.keys(concerns)
        while !changing.isDisjoint(with: keys) {
            await sleep()
            concerns = tree.concerns(change)
            keys = Self.keys(concerns)
        }
        changing.formUnion(keys)
        await recall(concerns, keys)
        defer {
            changing.subtract(keys)
            wake()
        }
        return try tree.apply(change, by: caller, data)
    }

    private static func keys(_ concerns: [Concern<Int>]) -> Set<Key> {
        var keys: Set<Key> = []
        for concern in concerns {
            switch concern {
            case .attributes(let node), .data(let node), .extendedAttributes(let node):
                keys.insert(.node(node))
            case .name(let name, let directory):
                keys.formUnion([.node(directory), .name(name, directory)])
            }
        }
        return keys
    }

    /// Returns when no client keeps anything of `keys`.
    private func recall(_ concerns: [Concern<Int>], _ keys: Set<Key>) async {
        let who = keys.reduce(into: Set<Int>()) { $0.formUnion(holders[$1] ?? []) }
        guard !who.isEmpty, !Fault.noRecall.isPlanted else { return }
        lastRecall += 1
        let number = lastRecall
        recalls[number] = who
        for client in who {
            clients[client]?.send(Message(number: 0, body: .recall(number, concerns)))
        }
        if Fault.noWait.isPlanted { return }
        while let rest = recalls[number], !rest.isEmpty {
            let now = monotonic()
            for client in rest where leases[client] ?? 0 <= now {
                recalls[number]?.remove(client)
                // One that never had a lease keeps nothing, and is about to get one.
                if leases[client] != nil { cutOff(client) }
            }
            guard recalls[number]?.isEmpty == false else { break }
            await sleep(atMost: .milliseconds(20))
        }
        recalls[number] = nil
        for key in keys { holders[key]?.subtract(who) }
    }

    /// Its lease is over, so it keeps nothing; if it still lives it must begin anew.
    private func cutOff(_ client: Int) {
        clients[client]?.wire.end()
        for key in holders.keys { holders[key]?.remove(client) }
        leases[client] = nil
    }

    // MARK: Waiting

    private func wake() {
        for waiter in waiters { waiter.resume() }
        waiters = []
    }

    private func sleep() async {
        await withCheckedContinuation { waiters.append($0) }
    }

    private func sleep(atMost time: Duration) async {
        Task {
            try? await Task.sleep(for: time)
            wake()
        }
        await sleep()
    }
}
