import FuseSession
import Glibc
import Synchronization
import Syscall
import SystemPackage

/// A store that a server holds, for one of many mounts: it keeps what the server has told, and drops it
/// when the server recalls it, or when the connection or the lease is lost.
///
/// The server grants leases by a `LeaseKeeper`, and replies to each `RemoteQuestion`. The mount is to
/// have `StoreMountOptions.hasLease`. While there is no connection, questions wait for one for up to
/// five seconds, and then fail with `EIO`.
public final class RemoteStore<Connection: RemoteConnection>: Store {
    public typealias ID = Connection.ID
    private typealias Question = RemoteQuestion<ID>
    private typealias Reply = RemoteMessage<RemoteReply<ID>>

    public let root: ID
    private let connect: @Sendable () -> Connection?
    private let state = Mutex(State())

    private struct State {
        var connection: Connection?
        var last: UInt64 = 0
        /// Questions without a reply, by number.
        var waiting: [UInt64: CheckedContinuation<Reply?, Never>] = [:]
        /// Nanoseconds.
        var lease: UInt64 = 0
    }

    /// Between two attempts to connect. Shorter: sooner there again, busier while the server is gone.
    private static var retryMilliseconds: UInt32 { 100 }
    private static var attempts: Int { 50 }

    /// - Parameters:
    ///   - root: the server's ID of the directory that is mounted.
    ///   - connect: makes a connection; nil if the server cannot be reached now. It is called again
    ///     whenever a connection has ended.
    public init(root: ID, connect: @escaping @Sendable () -> Connection?) {
        self.root = root
        self.connect = connect
    }

    // MARK: The connection and the lease

    public func begin(_ changes: ChangeSink<ID>) {
        // None yet: nothing is kept without.
        changes.extendLease(until: 1)
        // A process without another thread serves nobody.
        try? Worker("receive") { [self] in
            while true { receive(changes) }
        }.detach()
        Task { [self] in
            while true {
                await extendLease(changes)
                let lease = state.withLock { $0.lease }
                let interval = min(max(lease / 8, 50_000_000), 250_000_000)
                try? await Task.sleep(for: .nanoseconds(interval))
            }
        }
    }

    /// Serves one connection to its end.
    private func receive(_ changes: ChangeSink<ID>) {
        guard let connection = connect() else {
            usleep(Self.retryMilliseconds * 1000)
            return
        }
        // Before anything is asked on this connection.
        changes.loseEverything()
        state.withLock { $0.connection = connection }
        Task { await extendLease(changes) }
        while let message = connection.receive() { take(message, changes, connection) }
        lose()
    }

    private func extendLease(_ changes: ChangeSink<ID>) async {
        let start = changes.now
        guard case .lease(let length)? = try? await ask(.extendLease).body else { return }
        state.withLock { $0.lease = length }
        changes.extendLease(until: start + length)
    }

    private func take(_ message: Reply, _ changes: ChangeSink<ID>, _ connection: Connection) {
        if case .recall(let number, let concerns) = message.body {
            changes.willChange(concerns)
            connection.send(RemoteMessage(.dropped(number)))
            return
        }
        state.withLock { $0.waiting.removeValue(forKey: message.number) }?
            .resume(returning: message)
    }

    private func lose() {
        let waiting = state.withLock { state in
            state.connection = nil
            defer { state.waiting = [:] }
            return state.waiting
        }
        for waiter in waiting.values { waiter.resume(returning: nil) }
    }

    // MARK: Questions

    /// - Throws: what the server says; `EIO` if it does not answer.
    private func ask(_ question: Question, _ data: [UInt8] = []) async throws(Errno) -> Reply {
        var connection = state.withLock { $0.connection }
        for _ in 0..<Self.attempts where connection == nil {
            try? await Task.sleep(for: .milliseconds(Self.retryMilliseconds))
            connection = state.withLock { $0.connection }
        }
        guard let connection else { throw .ioError }
        let reply = await withCheckedContinuation { waiter in
            let number = state.withLock { state -> UInt64? in
                guard state.connection === connection else { return nil }
                state.last += 1
                state.waiting[state.last] = waiter
                return state.last
            }
            guard let number else { return waiter.resume(returning: nil) }
            connection.send(RemoteMessage(question, number: number, data: data))
        }
        guard let reply else { throw .ioError }
        if case .failed(let error) = reply.body { throw Errno(rawValue: error) }
        return reply
    }

    /// The part of a reply that `pick` wants. Asks again if the connection ended meanwhile, which a
    /// change must not.
    private func answer<Value>(
        _ question: Question, _ pick: (Reply) -> Value?
    ) async throws(Errno) -> Answer<Value> {
        var reply: Reply
        do throws(Errno) {
            reply = try await ask(question)
        } catch {
            guard error == .ioError else { throw error }
            reply = try await ask(question)
        }
        guard let value = pick(reply) else { throw .ioError }
        return Answer(value, kept: .untilTold)
    }

    public func attributes(of node: ID) async throws(Errno) -> Answer<NodeAttributes> {
        try await answer(.attributes(of: node)) {
            if case .attributes(let attributes) = $0.body { attributes } else { nil }
        }
    }

    public func find(
        _ name: FileName, in directory: ID
    ) async throws(Errno) -> Answer<Found<ID>?> {
        try await answer(.find(name, in: directory)) { (reply) -> Found<ID>?? in
            if case .found(let found) = reply.body { .some(found) } else { nil }
        }
    }

    public func list(_ directory: ID) async throws(Errno) -> Answer<[Listed]> {
        try await answer(.list(directory)) {
            if case .listed(let entries) = $0.body { entries } else { nil }
        }
    }

    public func read(
        _ file: ID, at offset: Int64, count: Int
    ) async throws(Errno) -> Answer<[UInt8]> {
        try await answer(.read(file, at: offset, count: count)) { $0.data }
    }

    public func target(of link: ID) async throws(Errno) -> [UInt8] {
        try await answer(.target(of: link)) { $0.data }.value
    }

    public func extendedAttribute(
        _ name: String, of node: ID
    ) async throws(Errno) -> Answer<[UInt8]?> {
        try await answer(.extendedAttribute(name, of: node)) { (reply) -> [UInt8]?? in
            if case .data = reply.body { .some(reply.data) } else { .some(nil) }
        }
    }

    public func extendedAttributeNames(of node: ID) async throws(Errno) -> Answer<[String]> {
        try await answer(.extendedAttributeNames(of: node)) {
            if case .names(let names) = $0.body { names } else { nil }
        }
    }

    public func apply(_ change: Change<ID>, by caller: Caller) async throws(Errno) -> Found<ID>? {
        let reply =
            if case .write(let node, let data, let offset) = change {
                try await ask(.write(node, at: offset, by: caller), data)
            } else {
                try await ask(.change(change, by: caller))
            }
        if case .found(let found) = reply.body { return found }
        return nil
    }

    public func forget(_ node: ID, times: Int) {
        state.withLock { $0.connection }?.send(RemoteMessage(.forget(node, times: times)))
    }
}
