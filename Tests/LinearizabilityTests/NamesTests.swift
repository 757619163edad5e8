import Linearizability
import SeededRandom
import Testing

@Suite struct NamesTests {
    private typealias Operation = Names.Operation
    private let files = Checker(Names(.files))
    private let nothing = Names.State(repeating: 0)

    private func ends(_ calls: [Call<Operation>], kind: Names.Kind = .files) -> Set<Names.State>? {
        Checker(Names(kind)).check(Names.expanded(calls), from: [nothing]).ends
    }

    @Test func renameOver() {
        let calls: [Call<Operation>] = [
            .init(0, 1, .created(0, 5)), .init(2, 3, .created(3, 6)), .init(4, 5, .moved(0, 3)),
            .init(6, 7, .seen(0, 0)), .init(8, 9, .entry(3, 5, links: 1)),
            .init(10, 11, .links(6, count: 0)),
        ]
        #expect(ends(calls) == [[0, 0, 0, 5]])
    }

    /// A cache that forgets the old name and not the new one.
    @Test func staleTargetOfARename() {
        let calls: [Call<Operation>] = [
            .init(0, 1, .created(0, 5)), .init(2, 3, .created(3, 6)), .init(4, 5, .moved(0, 3)),
            .init(8, 9, .seen(3, 6)),
        ]
        #expect(ends(calls) == nil)
    }

    /// During a rename nobody may see both names gone, nor both there.
    @Test func renameIsOneMoment() {
        let before: [Call<Operation>] = [
            .init(0, 1, .created(0, 5)), .init(4, 20, .moved(0, 1)),
        ]
        #expect(ends(before + [.init(5, 6, .seen(0, 0)), .init(7, 8, .seen(1, 5))]) != nil)
        #expect(ends(before + [.init(5, 6, .seen(0, 0)), .init(7, 8, .seen(1, 0))]) == nil)
        #expect(ends(before + [.init(5, 6, .seen(1, 5)), .init(7, 8, .seen(0, 5))]) == nil)
    }

    /// Only while it lasts, and only the name that is replaced.
    @Test func aNameIsGoneWhileItIsReplaced() {
        let before: [Call<Operation>] = [
            .init(0, 1, .created(0, 5)), .init(2, 3, .created(1, 6)), .init(4, 20, .moved(0, 1)),
        ]
        func isFine(_ seen: Call<Operation>...) -> Bool {
            let calls = Names.withoutGaps(before + seen)
            return Checker(Names(.files)).check(calls, from: [nothing]).ends != nil
        }
        #expect(ends(before + [.init(5, 6, .seen(1, 0))]) == nil)
        #expect(isFine(.init(5, 6, .seen(1, 0)), .init(7, 8, .exists(1, false))))
        #expect(!isFine(.init(21, 22, .seen(1, 0))))
        #expect(!isFine(.init(5, 6, .seen(1, 7))))
        #expect(!isFine(.init(5, 6, .seen(0, 0)), .init(7, 8, .seen(0, 5))))
    }

    @Test func renameOfTwoNamesOfOneFileDoesNothing() {
        let calls: [Call<Operation>] = [
            .init(0, 1, .created(0, 5)), .init(2, 3, .linked(5, 2)), .init(4, 5, .moved(0, 2)),
            .init(6, 7, .entry(0, 5, links: 2)),
        ]
        #expect(ends(calls) == [[5, 0, 5, 0]])
    }

    @Test func exchange() {
        let calls: [Call<Operation>] = [
            .init(0, 1, .created(0, 5)), .init(2, 3, .created(1, 6)),
            .init(4, 5, .exchanged(0, 1)), .init(6, 7, .seen(0, 6)), .init(8, 9, .seen(1, 5)),
        ]
        #expect(ends(calls) == [[6, 5, 0, 0]])
        #expect(ends([.init(0, 1, .exchanged(0, 1))]) == nil)
        #expect(ends([.init(0, 1, .notBoth(0, 1))]) != nil)
    }

    /// The name is of before the unlink, the link count of after it: the truth of no moment.
    @Test func nameAndLinkCountAreOfOneMoment() {
        let before: [Call<Operation>] = [
            .init(0, 1, .created(0, 5)), .init(2, 3, .linked(5, 1)), .init(4, 9, .removed(0)),
        ]
        #expect(ends(before + [.init(4, 9, .entry(0, 5, links: 2))]) != nil)
        #expect(ends(before + [.init(4, 9, .entry(0, 5, links: 1))]) == nil)
        // As two questions they may be.
        #expect(
            ends(before + [.init(4, 9, .seen(0, 5)), .init(4, 9, .links(5, count: 1))]) != nil)
    }

    @Test func failuresAreObservations() {
        #expect(ends([.init(0, 1, .exists(0, true))]) == nil)
        #expect(ends([.init(0, 1, .created(0, 5)), .init(2, 3, .created(0, 6))]) == nil)
        #expect(ends([.init(0, 1, .removed(0))]) == nil)
        #expect(ends([.init(0, 1, .linked(5, 0))]) == nil)
        #expect(ends([.init(0, 1, .linkedNothing(5, 0))]) != nil)
    }

    @Test func parentLinks() {
        let calls: [Call<Operation>] = [
            .init(0, 1, .created(2, 1)), .init(2, 3, .created(3, 1)), .init(4, 5, .moved(2, 0)),
        ]
        let right: Call<Operation> = .init(6, 7, .parentLinks(directory: 1, count: 3))
        #expect(ends(calls + [right], kind: .directories) == [[1, 0, 0, 1]])
        let stale: Call<Operation> = .init(6, 7, .parentLinks(directory: 1, count: 4))
        #expect(ends(calls + [stale], kind: .directories) == nil)
    }

    @Test func listing() {
        let made: [Call<Operation>] = [.init(0, 1, .created(0, 5))]
        let all: Call<Operation> = .init(4, 9, .listed(directory: 0, places: 0b01))
        let none: Call<Operation> = .init(4, 9, .listed(directory: 0, places: 0))
        let ghost: Call<Operation> = .init(4, 9, .listed(directory: 0, places: 0b11))
        #expect(ends(made + [all]) != nil)
        #expect(ends(made + [none]) == nil)
        #expect(ends(made + [ghost]) == nil)
        // Of a name that is touched meanwhile nothing is promised.
        let touched = made + [.init(5, 6, .moved(0, 1))]
        for listing in [all, none, ghost] { #expect(ends(touched + [listing]) != nil) }
    }

    /// Random short histories against the definition itself.
    @Test(arguments: [1, 2] as [UInt64]) func agreesWithTheDefinition(_ seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var right = 0
        for _ in 0..<3000 {
            let calls: [Call<Operation>] = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                let start = UInt64.random(in: 0..<10, using: &random)
                let end = start + UInt64.random(in: 0..<6, using: &random)
                let place = Int.random(in: 0..<3, using: &random)
                let other = (place + 1) % 3
                let id = UInt64.random(in: 1...2, using: &random)
                let operations: [Operation] = [
                    .created(place, id), .removed(place), .moved(place, other),
                    .exchanged(place, other), .linked(id, place), .seen(place, id),
                    .seen(place, 0), .links(id, count: 1), .exists(place, true),
                ]
                return .init(start, end, operations[Int.random(in: 0..<9, using: &random)])
            }
            let start: Names.State = [1, 0, 2, 0]
            let expected = endsByTryingAll(Names(.files), calls, from: [start])
            #expect(files.check(calls, from: [start]).ends ?? [] == expected)
            if !expected.isEmpty { right += 1 }
        }
        #expect((100...2900).contains(right))
    }
}

@Suite struct FileAttributesTests {
    private typealias Operation = FileAttributes.Operation
    private let start = FileAttributes.State(size: 0, mode: 0o644, owner: 0)

    private func ends(_ calls: [Call<Operation>]) -> Set<FileAttributes.State>? {
        Checker(FileAttributes()).check(calls, from: [start]).ends
    }

    @Test func sizes() {
        let calls: [Call<Operation>] = [
            .init(0, 5, .appended(3)), .init(0, 5, .truncated(to: 10)), .init(6, 7, .size(13)),
        ]
        #expect(ends(calls)?.map(\.size) == [13])
        #expect(ends(Array(calls[..<2]) + [.init(6, 7, .size(3))]) == nil)
    }

    /// Size of after the first change, mode of before it.
    @Test func statusIsOfOneMoment() {
        let calls: [Call<Operation>] = [
            .init(0, 1, .modeSet(0o600)), .init(2, 3, .truncated(to: 10)),
        ]
        let mixed: Call<Operation> = .init(
            0, 3, .status(.init(size: 10, mode: 0o644, owner: 0)))
        #expect(ends(calls + [mixed]) == nil)
        let right: Call<Operation> = .init(
            0, 3, .status(.init(size: 0, mode: 0o600, owner: 0)))
        #expect(ends(calls + [right]) != nil)
    }
}
