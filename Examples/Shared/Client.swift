import Dispatch
import FuseSession
import Glibc
import StoreFS
import Synchronization
import SystemPackage

/// The store that a client mounts: all of it is asked of the server, and kept until that recalls it.
final class Client: Store {
    let root = 1
    private let path: String
    private let state = Mutex(State())

    private struct State {
        var wire: Wire?
        var last: UInt64 = 0
        var waiting: [UInt64: CheckedContinuation<Message<Reply>, Never>] = [:]
    }

    init(server path: String) { self.path = path }

    /// Receives, and connects again when that has ended.
    func begin(_ changes: ChangeSink<Int>) {
        // None yet: nothing is kept without.
        changes.extendLease(until: 1)
        DispatchQueue(label: "receive").async { [self] in
            while true { receive(changes) }
        }
        Task { [self] in
            while true {
                await extendLease(changes)
                try? await Task.sleep(for: .milliseconds(250))
            }
        }
    }

    /// Serves one connection to its end.
    private func receive(_ changes: ChangeSink<Int>) {
        guard let wire = connect() else {
            usleep(100_000)
            return
        }
        // Before anything is asked on this connection.
        changes.loseEverything()
        state.withLock { $0.wire = wire }
        Task { await extendLease(changes) }
        while let message = wire.receive(Reply.self) { take(message, changes, wire) }
        lose()
    }

    private func extendLease(_ changes: ChangeSink<Int>) async {
        let start = changes.now
        if case .lease(let length)? = try? await ask(.extendLease).body {
            changes.extendLease(until: start + length)
        }
    }

    private func connect() -> Wire? {
        let wire = Wire(socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
        let result = Wire.with(path) { Glibc.connect(wire.descriptor, $0, $1) }
        return result == 0 ? wire : nil
    }

    private func take(_ message: Message<Reply>, _ changes: ChangeSink<Int>, _ wire: Wire) {
        if case .recall(let number, let concerns) = message.body {
            changes.willChange(concerns)
            wire.send(Message(number: 0, body: Question.dropped(number)))
            return
        }
        state.withLock { $0.waiting.removeValue(forKey: message.number) }?
            .resume(returning: message)
    }

    private func lose() {
        let waiting = state.withLock { state in
            state.wire = nil
            defer { state.waiting = [:] }
            return state.waiting
        }
        for (number, waiter) in waiting {
            waiter.resume(returning: Message(number: number, body: .failed(EIO)))
        }
    }

    /// - Throws: what the server says; `EIO` if it does not answer.
    private func ask(
        _ question: Question, _ data: [UInt8] = []
    ) async throws(Errno) -> Message<Reply> {
        var wire = state.withLock { $0.wire }
        for _ in 0..<50 where wire == nil {
            try? await Task.sleep(for: .milliseconds(100))
            wire = state.withLock { $0.wire }
        }
        guard let wire else { throw .ioError }
        let reply = await withCheckedContinuation { waiter in
            let number = state.withLock { state -> UInt64? in
                guard state.wire === wire else { return nil }
                state.last += 1
                state.waiting[state.last] = waiter
                return state.last
            }
            guard let number else {
                return waiter.resume(returning: Message(number: 0, body: .failed(EIO)))
            }
            wire.send(Message(number: number, body: question, data: data))
        }
        if case .failed(let error) = reply.body { throw Errno(rawValue: error) }
        return reply
    }

    /// The part of a reply that `pick` wants. Asks again if the connection ended meanwhile.
    private func answer<Value>(
        _ question: Question, _ pick: (Message<Reply>) -> Value?
    ) async throws(Errno) -> Answer<Value> {
        var reply: Message<Reply>
        do throws(Errno) {
            reply = try await ask(question)
        } catch {
            guard error == .ioError else { throw error }
            reply = try await ask(question)
        }
        guard let value = pick(reply) else { throw .ioError }
        return Answer(value, kept: .untilTold)
    }

    func attributes(of node: Int) async throws(Errno) -> Answer<NodeAttributes> {
        try await answer(.attributes(node)) {
            if case .attributes(let attributes) = $0.body { attributes } else { nil }
        }
    }

    func find(_ name: FileName, in directory: Int) async throws(Errno) -> Answer<Found<Int>?> {
        try await answer(.find(name, in: directory)) { (reply) -> Found<Int>?? in
            if case .found(let found) = reply.body { .some(found) } else { nil }
        }
    }

    func list(_ directory: Int) async throws(Errno) -> Answer<[Listed]> {
        try await answer(.list(directory)) {
            if case .listed(let entries) = $0.body { entries } else { nil }
        }
    }

    func read(_ file: Int, at offset: Int64, count: Int) async throws(Errno) -> Answer<[UInt8]> {
        try await answer(.read(file, at: offset, count: count)) { $0.data }
    }

    func target(of link: Int) async throws(Errno) -> [UInt8] {
        try await answer(.target(link)) { $0.data }.value
    }

    func extendedAttribute(
        _ name: String, of node: Int
    ) async throws(Errno) -> Answer<[UInt8]?> {
        try await answer(.extendedAttribute(name, of: node)) { (reply) -> [UInt8]?? in
            if case .data = reply.body { .some(reply.data) } else { .some(nil) }
        }
    }

    func extendedAttributeNames(of node: Int) async throws(Errno) -> Answer<[String]> {
        try await answer(.extendedAttributeNames(node)) {
            if case .names(let names) = $0.body { names } else { nil }
        }
    }

    func apply(_ change: Change<Int>, by caller: Caller) async throws(Errno) -> Found<Int>? {
        let (change, data) = change.withoutData
        let reply = try await ask(.change(change, by: caller), data)
        if case .found(let found) = reply.body { return found }
        return nil
    }

    func forget(_ node: Int, times: Int) {
        state.withLock { $0.wire }?.send(
            Message(number: 0, body: Question.forget(node, times: times)))
    }
}
