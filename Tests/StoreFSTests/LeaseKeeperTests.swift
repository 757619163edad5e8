import Synchronization
import Testing

@testable import StoreFS

/// What is sent to holders, which answer or do not.
private final class Wires: Sendable {
    private let state = Mutex((recalled: [Int](), cutOff: [Int]()))
    let answers: @Sendable (Int) -> Bool

    init(answers: @escaping @Sendable (Int) -> Bool) { self.answers = answers }

    var recalled: [Int] { state.withLock { $0.recalled.sorted() } }
    var cutOff: [Int] { state.withLock { $0.cutOff } }

    func messages(of keeper: LeaseKeeper<String, Int>) -> LeaseKeeper<String, Int>.Messages {
        .init(
            recall: { holder, number in
                self.state.withLock { $0.recalled.append(holder) }
                if self.answers(holder) { Task { await keeper.dropped(number, by: holder) } }
            }, cutOff: { holder in self.state.withLock { $0.cutOff.append(holder) } })
    }
}

/// Counts changes under way.
private final class Turns: Sendable {
    let underWay = Atomic(0)

    /// - Returns: how many others there were.
    func take(
        _ keeper: LeaseKeeper<String, Int>, _ messages: LeaseKeeper<String, Int>.Messages
    ) async -> Int {
        let keys = await keeper.begin(messages) { ["key"] }
        let others = underWay.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
        await Task.yield()
        underWay.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        await keeper.end(keys)
        return others
    }
}

@Suite struct LeaseKeeperTests {
    @Test func aChangeWaitsForEveryHolder() async {
        let keeper = LeaseKeeper<String, Int>(seconds: 100)
        let wires = Wires { _ in true }
        for holder in 1...3 {
            _ = await keeper.extend(holder)
            await keeper.hold(holder == 3 ? ["other"] : ["key"], by: holder)
        }
        let keys = await keeper.begin(wires.messages(of: keeper)) { ["key"] }
        #expect(wires.recalled == [1, 2])
        #expect(wires.cutOff == [])
        await keeper.end(keys)
        // They keep it no more.
        await keeper.end(await keeper.begin(wires.messages(of: keeper)) { ["key"] })
        #expect(wires.recalled == [1, 2])
    }

    @Test func aSilentHolderIsCutOffWhenItsLeaseEnds() async {
        let keeper = LeaseKeeper<String, Int>(seconds: 0.3)
        let wires = Wires { $0 != 1 }
        _ = await keeper.extend(1)
        await keeper.hold(["key"], by: 1)
        let start = ContinuousClock.now
        await keeper.end(await keeper.begin(wires.messages(of: keeper)) { ["key"] })
        #expect(ContinuousClock.now - start >= .milliseconds(290))
        #expect(wires.cutOff == [1])
    }

    @Test func oneWithoutALeaseIsNotWaitedFor() async {
        let keeper = LeaseKeeper<String, Int>(seconds: 100)
        let wires = Wires { _ in false }
        await keeper.hold(["key"], by: 1)
        await keeper.end(await keeper.begin(wires.messages(of: keeper)) { ["key"] })
        #expect(wires.recalled == [1])
        #expect(wires.cutOff == [])
    }

    @Test func aQuestionWaitsForTheChange() async {
        let keeper = LeaseKeeper<String, Int>(seconds: 100)
        let wires = Wires { _ in true }
        let keys = await keeper.begin(wires.messages(of: keeper)) { ["key"] }
        let turns = Turns()
        let question = Task {
            await keeper.hold(["key"], by: 1)
            return turns.underWay.load(ordering: .sequentiallyConsistent)
        }
        try? await Task.sleep(for: .milliseconds(50))
        turns.underWay.store(1, ordering: .sequentiallyConsistent)
        await keeper.end(keys)
        #expect(await question.value == 1)
    }

    @Test func changesOfTheSameFollowEachOther() async {
        let keeper = LeaseKeeper<String, Int>(seconds: 100)
        let wires = Wires { _ in true }
        let turns = Turns()
        await withTaskGroup(of: Int.self) { group in
            for _ in 0..<50 {
                group.addTask { await turns.take(keeper, wires.messages(of: keeper)) }
            }
            for await others in group { #expect(others == 0) }
        }
    }
}
