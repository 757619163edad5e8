import Linearizability
import SeededRandom
import Testing

@Suite struct CheckerTests {
    private typealias Operation = Register<Int>.Operation
    private let checker = Checker(Register<Int>())

    @Test func nothingChangesNothing() {
        #expect(checker.check([], from: [1, 2]) == .linearizable(ends: [1, 2]))
    }

    @Test func readAfterWrite() {
        let calls: [Call<Operation>] = [.init(0, 1, .write(7)), .init(2, 3, .read(7))]
        #expect(checker.check(calls, from: [0]) == .linearizable(ends: [7]))
    }

    @Test func staleReadAfterWrite() {
        let calls: [Call<Operation>] = [.init(0, 1, .write(7)), .init(2, 3, .read(0))]
        #expect(checker.check(calls, from: [0]) == .violation(call: 1))
    }

    @Test func overlappingReadMaySeeEither() {
        for value in [0, 7] {
            let calls: [Call<Operation>] = [.init(0, 5, .write(7)), .init(2, 3, .read(value))]
            #expect(checker.check(calls, from: [0]) == .linearizable(ends: [7]))
        }
        let calls: [Call<Operation>] = [.init(0, 5, .write(7)), .init(2, 3, .read(8))]
        #expect(checker.check(calls, from: [0]) == .violation(call: 1))
    }

    /// A call that ends when another starts overlaps it: the clock is no finer.
    @Test func sameMomentIsNoOrder() {
        let calls: [Call<Operation>] = [.init(0, 2, .write(7)), .init(2, 3, .read(0))]
        #expect(checker.check(calls, from: [0]) == .linearizable(ends: [7]))
    }

    /// The classic: one sees the new value, and later another still the old one.
    @Test func newThenOld() {
        let calls: [Call<Operation>] = [
            .init(0, 9, .write(7)), .init(1, 2, .read(7)), .init(3, 4, .read(0)),
        ]
        #expect(checker.check(calls, from: [0]) == .violation(call: 2))
    }

    @Test func overlappingWritesLeaveEither() {
        let calls: [Call<Operation>] = [.init(0, 5, .write(1)), .init(0, 5, .write(2))]
        #expect(checker.check(calls, from: [0]) == .linearizable(ends: [1, 2]))
        // Whoever sees the second one last has decided.
        let seen = calls + [.init(6, 7, .read(2))]
        #expect(checker.check(seen, from: [0]) == .linearizable(ends: [2]))
    }

    @Test func stateOfBeforeIsFoundOut() {
        let calls: [Call<Operation>] = [.init(0, 1, .read(2))]
        #expect(checker.check(calls, from: [1, 2]) == .linearizable(ends: [2]))
        #expect(checker.check(calls, from: [1]) == .violation(call: 0))
    }

    /// Cutting where nothing is under way changes no verdict.
    @Test func cutHistoryIsTheSame() {
        let first: [Call<Operation>] = [.init(0, 5, .write(1)), .init(0, 5, .write(2))]
        let second: [Call<Operation>] = [.init(6, 7, .read(1)), .init(8, 9, .read(2))]
        #expect(checker.check(first + second, from: [0]).ends == nil)
        let ends = checker.check(first, from: [0]).ends ?? []
        #expect(checker.check(second, from: ends) == .violation(call: 1))
    }

    /// Random short histories, most of them wrong somewhere, against the definition itself.
    @Test(arguments: [1, 2, 3] as [UInt64]) func agreesWithTheDefinition(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var right = 0
        for _ in 0..<3000 {
            let calls: [Call<Operation>] = (0..<Int.random(in: 1...7, using: &random)).map { _ in
                let start = UInt64.random(in: 0..<12, using: &random)
                let end = start + UInt64.random(in: 0..<5, using: &random)
                let value = Int.random(in: 0..<3, using: &random)
                return .init(start, end, Bool.random(using: &random) ? .read(value) : .write(value))
            }
            let expected = endsByTryingAll(Register<Int>(), calls, from: [0, 1])
            #expect(checker.check(calls, from: [0, 1]).ends ?? [] == expected)
            if !expected.isEmpty { right += 1 }
        }
        #expect((300...2700).contains(right))
    }
}

@Suite struct RegularRegisterTests {
    private typealias Operation = Register<Int>.Operation

    @Test func newThenOldIsAllowedDuringTheWrite() {
        let calls: [Call<Operation>] = [
            .init(0, 9, .write(7)), .init(1, 2, .read(7)), .init(3, 4, .read(0)),
        ]
        #expect(RegularRegister.check(calls, from: [0]) == .linearizable(ends: [7]))
    }

    @Test func staleReadAfterWrite() {
        let calls: [Call<Operation>] = [.init(0, 1, .write(7)), .init(2, 3, .read(0))]
        #expect(RegularRegister.check(calls, from: [0]) == .violation(call: 1))
    }

    @Test func overwrittenValue() {
        let calls: [Call<Operation>] = [
            .init(0, 1, .write(7)), .init(2, 3, .write(8)), .init(4, 5, .read(7)),
        ]
        #expect(RegularRegister.check(calls, from: [0]) == .violation(call: 2))
    }

    @Test func valueOfTheFuture() {
        let calls: [Call<Operation>] = [.init(0, 1, .read(7)), .init(2, 3, .write(7))]
        #expect(RegularRegister.check(calls, from: [0]) == .violation(call: 0))
    }

    @Test func overlappingWritesLeaveEither() {
        let calls: [Call<Operation>] = [.init(0, 5, .write(1)), .init(3, 8, .write(2))]
        #expect(RegularRegister.check(calls, from: [0]) == .linearizable(ends: [1, 2]))
    }
}

@Suite struct ClockTests {
    private typealias Operation = Clock.Operation

    @Test func goesForward() {
        let calls: [Call<Operation>] = [
            .init(0, 1, .read(5)), .init(2, 6, .change(notBefore: 7)), .init(3, 4, .read(5)),
            .init(7, 8, .read(7)),
        ]
        #expect(Clock.check(calls, from: 5) == .monotonic(floor: 7))
    }

    @Test func goesBack() {
        let calls: [Call<Operation>] = [.init(0, 1, .read(5)), .init(2, 3, .read(4))]
        #expect(Clock.check(calls, from: 0) == .violation(call: 1))
        #expect(Clock.check([.init(0, 1, .read(4))], from: 5) == .violation(call: 0))
    }

    @Test func missesAChange() {
        let calls: [Call<Operation>] = [
            .init(0, 1, .change(notBefore: 9)), .init(2, 3, .read(8)),
        ]
        #expect(Clock.check(calls, from: 0) == .violation(call: 1))
    }
}
