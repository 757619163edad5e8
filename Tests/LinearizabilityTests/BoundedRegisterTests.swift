import Linearizability
import SeededRandom
import Testing

@Suite struct BoundedRegisterTests {
    private typealias Operation = BoundedRegister.Operation
    private static let initial = Call<Operation>(0, 0, .write(0, delay: 0))

    private func violation(_ calls: [Call<Operation>]) -> Int? {
        if case .violation(let call) = BoundedRegister.check(calls) { call } else { nil }
    }

    private func remaining(_ calls: [Call<Operation>]) -> [Call<Operation>]? {
        if case .explained(let remaining) = BoundedRegister.check(calls) { remaining } else { nil }
    }

    @Test func oldValueIsAllowedUntilTheBound() {
        let write = Call<Operation>(1, 2, .write(7, delay: 18))
        for start in [1, 10, 20] as [UInt64] {
            for value in [0, 7] as [UInt64] {
                let read = Call<Operation>(start, start + 9, .read(value))
                #expect(violation([Self.initial, write, read]) == nil)
            }
        }
        #expect(violation([Self.initial, write, .init(21, 22, .read(7))]) == nil)
        #expect(violation([Self.initial, write, .init(21, 22, .read(0))]) == 2)
    }

    @Test func onlyValuesThatWereWritten() {
        let write = Call<Operation>(5, 6, .write(7, delay: 14))
        #expect(violation([Self.initial, write, .init(8, 9, .read(8))]) == 2)
        #expect(violation([Self.initial, write, .init(1, 4, .read(7))]) == 2)
        #expect(violation([Self.initial, write, .init(1, 5, .read(7))]) == nil)
    }

    @Test func presence() {
        let write = Call<Operation>(1, 2, .write(7, delay: 7))
        for isPresent in [false, true] {
            #expect(violation([Self.initial, write, .init(3, 4, .readPresence(isPresent))]) == nil)
        }
        #expect(violation([Self.initial, write, .init(10, 11, .readPresence(true))]) == nil)
        #expect(violation([Self.initial, write, .init(10, 11, .readPresence(false))]) == 2)
    }

    /// Their bounds overlap, but they do not.
    @Test func writesKeepTheirOrder() {
        let writes: [Call<Operation>] = [
            Self.initial, .init(1, 2, .write(7, delay: 18)), .init(3, 4, .write(8, delay: 18)),
        ]
        for value in [0, 7, 8] as [UInt64] {
            #expect(violation(writes + [.init(10, 11, .read(value))]) == nil)
        }
        // The first is to show by now, or something later.
        #expect(violation(writes + [.init(21, 21, .read(0))]) == 3)
        #expect(violation(writes + [.init(21, 21, .read(7))]) == nil)
        #expect(violation(writes + [.init(23, 23, .read(7))]) == 3)
        #expect(violation(writes + [.init(23, 23, .read(8))]) == nil)
    }

    @Test func onlyWhatMayBeReadRemains() {
        let writes: [Call<Operation>] = [
            Self.initial, .init(1, 2, .write(7, delay: 18)), .init(3, 4, .write(8, delay: 18)),
        ]
        #expect(remaining(writes)?.count == 3)
        #expect(remaining(writes + [.init(21, 21, .read(8))])?.map(\.start) == [1, 3])
        #expect(remaining(writes + [.init(30, 30, .read(8))])?.map(\.start) == [3])
    }

    /// Random histories, most of them wrong somewhere: cut in two where nothing is under way, they get
    /// the same verdict.
    @Test(arguments: [1, 2, 3] as [UInt64]) func cutHistoryIsTheSame(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var right = 0
        for _ in 0..<3000 {
            func part(from origin: UInt64) -> [Call<Operation>] {
                (0..<Int.random(in: 1...5, using: &random)).map { _ in
                    let start = origin + UInt64.random(in: 0..<12, using: &random)
                    let end = start + UInt64.random(in: 0..<4, using: &random)
                    let value = UInt64.random(in: 0..<3, using: &random)
                    let delay = UInt64.random(in: 0..<12, using: &random)
                    return .init(
                        start, end,
                        Bool.random(using: &random)
                            ? .read(value) : .write(value, delay: delay))
                }
            }
            let first = [Self.initial] + part(from: 1)
            let second = part(from: 16)
            let whole = violation(first + second)
            let cut = remaining(first).map { violation($0 + second) == nil } ?? false
            #expect((whole == nil) == cut)
            if cut { right += 1 }
        }
        #expect((300...2700).contains(right))
    }
}
