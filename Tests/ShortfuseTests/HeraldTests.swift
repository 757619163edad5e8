import Glibc
import Synchronization
import Testing

@testable import shortfuse

@Suite struct HeraldTests {
    /// Counts what the herald calls.
    private final class Calls: Sendable {
        let answered = Atomic(0)
        let lost = Atomic(0)
    }

    private let parent: Line
    /// As the daemon has it, but for the session of its own.
    private let herald: Herald
    private let calls = Calls()

    init() throws {
        let ends = try #require(Line.pair())
        parent = ends.parent
        herald = Herald(line: ends.daemon)
    }

    private func report() throws {
        let calls = calls
        try herald.reportMounted(
            at: "/mnt/test", announcement: "fine",
            answered: { calls.answered.add(1, ordering: .relaxed) },
            lost: { calls.lost.add(1, ordering: .relaxed) })
    }

    private func expect(answered: Int, lost: Int) {
        #expect(calls.answered.load(ordering: .relaxed) == answered)
        #expect(calls.lost.load(ordering: .relaxed) == lost)
    }

    @Test func tellsTheParentWhoAsks() throws {
        try report()
        #expect(parent.receive() == .mounted("/mnt/test"))
        #expect(!herald.hasReported)
        #expect(parent.send(.answered))
        #expect(parent.receive() == .ready("fine"))
        #expect(parent.receive() == nil)
        herald.finish()
        #expect(herald.hasReported)
        #expect(!herald.reportFailure("late"))
        expect(answered: 1, lost: 0)
    }

    @Test func noticesThatTheParentWentAway() throws {
        try report()
        parent.close()
        while !herald.hasReported { usleep(1_000) }
        herald.finish()
        #expect(!herald.reportFailure("nobody listens"))
        expect(answered: 0, lost: 1)
    }

    @Test func noticesThatTheParentHadGone() throws {
        parent.close()
        try report()
        while !herald.hasReported { usleep(1_000) }
        herald.finish()
        expect(answered: 0, lost: 1)
    }

    @Test func noticesThatTheParentGaveUp() throws {
        try report()
        #expect(parent.receive() == .mounted("/mnt/test"))
        parent.stopSending()
        while !herald.hasReported { usleep(1_000) }
        herald.finish()
        expect(answered: 0, lost: 1)
    }

    @Test func tellsWhyTheMountEndedFirst() throws {
        try report()
        #expect(parent.receive() == .mounted("/mnt/test"))
        herald.finish()
        #expect(!herald.hasReported)
        #expect(herald.reportFailure("gone"))
        #expect(!parent.send(.answered))
        #expect(parent.receive() == .failed("gone"))
        #expect(parent.receive() == nil)
        expect(answered: 0, lost: 0)
    }

    @Test func tellsWhyThereIsNoMount() throws {
        #expect(herald.reportFailure("no"))
        #expect(!herald.reportFailure("again"))
        #expect(parent.receive() == .failed("no"))
        #expect(parent.receive() == nil)
        herald.finish()
    }

    @Test(arguments: [Word.mounted("/a b"), .answered, .ready("ü\n"), .failed("")])
    func wordsSurviveTheLine(word: Word) {
        #expect(Word(word.bytes) == word)
    }

    @Test func nonsenseIsNoWord() {
        #expect(Word([]) == nil)
        #expect(Word(Array("x".utf8)) == nil)
    }
}
