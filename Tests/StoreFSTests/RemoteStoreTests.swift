import FuseSession
import Glibc
import Synchronization
import Syscall
import SystemPackage
import Testing

@testable import StoreFS

/// The server's end of a connection: replies as `answer` says, and nothing where that is nil.
private final class Peer: RemoteConnection, Sendable {
    typealias ID = Int
    private typealias Received = RemoteMessage<RemoteReply<Int>>

    private struct State {
        var asked: [RemoteQuestion<Int>] = []
        var replies: [Received] = []
        var hasEnded = false
    }

    private let monitor = Monitor()
    private let state = Mutex(State())
    let answer: @Sendable (RemoteQuestion<Int>) -> RemoteReply<Int>?

    init(answer: @escaping @Sendable (RemoteQuestion<Int>) -> RemoteReply<Int>?) {
        self.answer = answer
    }

    /// But for those of leases.
    var asked: [RemoteQuestion<Int>] {
        state.withLock { state in
            state.asked.filter { if case .extendLease = $0 { false } else { true } }
        }
    }

    func say(_ reply: RemoteReply<Int>, number: UInt64 = 0) {
        change { $0.replies.append(RemoteMessage(reply, number: number)) }
    }

    func end() { change { $0.hasEnded = true } }

    private func change(_ body: (inout State) -> Void) {
        monitor.withLock {
            state.withLock { body(&$0) }
            monitor.broadcast()
        }
    }

    func send(_ question: RemoteMessage<RemoteQuestion<Int>>) {
        change { $0.asked.append(question.body) }
        if let reply = answer(question.body) { say(reply, number: question.number) }
    }

    func receive() -> RemoteMessage<RemoteReply<Int>>? {
        monitor.withLock {
            while true {
                let next = state.withLock { state -> Received?? in
                    if !state.replies.isEmpty { return state.replies.removeFirst() }
                    return state.hasEnded ? .some(nil) : nil
                }
                if let next { return next }
                monitor.wait()
            }
        }
    }
}

/// What a store has told its mount.
private final class Told: Sendable {
    let events = Mutex<[String]>([])

    var sink: ChangeSink<Int> {
        ChangeSink(
            drop: { concerns in self.add("drop \(concerns.count)") }, begin: { _ in },
            end: { _ in }, dropAll: { self.add("all") },
            extend: { end in if end <= 1 { self.add("none") } })
    }

    func add(_ event: String) { events.withLock { $0.append(event) } }

    var all: [String] { events.withLock { $0 } }
}

private let attributes = NodeAttributes(.file, inode: 2, permissions: 0o644)
private let nobody = Caller(uid: 0, gid: 0, pid: 0)

@Suite(.timeLimit(.minutes(1))) struct RemoteStoreTests {
    /// A server that replies to everything but what it is asked of node `silent`.
    private func peer(silent: Int? = nil) -> Peer {
        Peer { question in
            switch question {
            case .extendLease: .lease(4_000_000_000)
            case .attributes(let node) where node == silent: nil
            case .attributes: .attributes(attributes)
            case .write(let node, _, _) where node == silent: nil
            case .forget, .dropped: nil
            default: .failed(Errno.noSuchFileOrDirectory.rawValue)
            }
        }
    }

    @Test func nothingIsKeptBeforeTheFirstLeaseNorFromBeforeAConnection() async throws {
        let told = Told()
        let server = peer()
        let store = RemoteStore(root: 1) { server }
        store.begin(told.sink)
        #expect(try await store.attributes(of: 2).value.inode == 2)
        #expect(told.all == ["none", "all"])
    }

    @Test func aRecallIsAnsweredWhenItIsDropped() async throws {
        let told = Told()
        let server = peer()
        let store = RemoteStore(root: 1) { server }
        store.begin(told.sink)
        _ = try await store.attributes(of: 2)
        server.say(.recall(7, [.attributes(2), .data(3)]))
        while server.asked.count < 2 { try await Task.sleep(for: .milliseconds(1)) }
        guard case .dropped(7) = server.asked[1] else {
            Issue.record("\(server.asked)")
            return
        }
        #expect(told.all.last == "drop 2")
    }

    @Test func theServersErrorIsTheCallers() async {
        let server = peer()
        let store = RemoteStore(root: 1) { server }
        store.begin(Told().sink)
        await #expect(throws: Errno.noSuchFileOrDirectory) { try await store.list(1) }
    }

    /// Whether a change was made is not known when the connection ends, so it is not made again.
    @Test func aQuestionIsAskedAgainOnTheNextConnectionAndAChangeIsNot() async throws {
        let first = peer(silent: 2)
        let second = peer()
        let connections = Mutex([first, second])
        let told = Told()
        let store = RemoteStore(root: 1) {
            connections.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        }
        store.begin(told.sink)
        async let answer = store.attributes(of: 2)
        async let change = store.apply(.write(2, [1], at: 0), by: nobody)
        while first.asked.count < 2 { try await Task.sleep(for: .milliseconds(1)) }
        first.end()
        #expect(try await answer.value.inode == 2)
        do {
            _ = try await change
            Issue.record("the change did not fail")
        } catch {
            #expect(error as? Errno == .ioError)
        }
        #expect(second.asked.count == 1)
        #expect(told.all == ["none", "all", "all"])
    }
}
