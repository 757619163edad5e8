import Glibc
import Syscall

/// The side of a server that grants leases: who keeps what, and that nobody keeps what changes.
///
/// A change (1) marks its keys, so that questions about them wait; (2) recalls them from every holder;
/// (3) waits until each has dropped them, or its lease has ended; (4) is made; (5) lets the questions
/// go on. A holder's side is `ChangeSink`: `willChange` on a recall, then the answer that it is done.
///
/// A holder counts its lease from when it asked for it, and the keeper from when the question arrived:
/// so it ends there first, whatever the network does.
public actor LeaseKeeper<Key: Hashable & Sendable, Holder: Hashable & Sendable> {
    /// What is sent to holders.
    public struct Messages: Sendable {
        let recall: @Sendable (Holder, _ number: Int) -> Void
        let cutOff: @Sendable (Holder) -> Void

        /// - Parameters:
        ///   - recall: sends recall `number` of the change, without waiting.
        ///   - cutOff: the holder's lease has ended, and it must begin anew if it still lives.
        public init(
            recall: @escaping @Sendable (Holder, _ number: Int) -> Void,
            cutOff: @escaping @Sendable (Holder) -> Void
        ) {
            self.recall = recall
            self.cutOff = cutOff
        }
    }

    private let nanoseconds: UInt64
    /// When each holder's lease ends, also of those that are gone.
    private var leases: [Holder: UInt64] = [:]
    private var holders: [Key: Set<Holder>] = [:]
    private var changing: Set<Key> = []
    /// By recall, who has not dropped it yet.
    private var recalls: [Int: Set<Holder>] = [:]
    private var lastRecall = 0
    private var waiters: [CheckedContinuation<Void, Never>] = []

    /// Milliseconds between two looks at a lease that a change waits for.
    private static var interval: Int { 20 }

    public init(seconds: Double) { nanoseconds = UInt64(max(seconds, 0) * 1e9) }

    /// - Returns: nanoseconds for which the lease of `holder` lasts from now on.
    public func extend(_ holder: Holder) -> UInt64 {
        leases[holder] = Syscall.monotonicNanoseconds() + nanoseconds
        return nanoseconds
    }

    /// Waits until nobody changes any of `keys`, and notes that `holder` keeps them. To be called before
    /// the answer is read.
    public func hold(_ keys: Set<Key>, by holder: Holder) async {
        while !changing.isDisjoint(with: keys) { await sleep() }
        for key in keys { holders[key, default: []].insert(holder) }
    }

    /// Returns when no holder keeps any of the keys, and none will until `end`. `keys` is asked for again
    /// after each wait, since what a change concerns may change.
    /// - Returns: the keys, for `end`.
    public func begin(
        _ messages: Messages, _ keys: @Sendable () async -> Set<Key>
    ) async -> Set<Key> {
        var wanted = await keys()
        while !changing.isDisjoint(with: wanted) {
            await sleep()
            wanted = await keys()
        }
        changing.formUnion(wanted)
        await recall(wanted, messages)
        return wanted
    }

    /// The change is made, or has failed.
    public func end(_ keys: Set<Key>) {
        changing.subtract(keys)
        wake()
    }

    /// `holder` keeps nothing any more of what recall `number` concerns.
    public func dropped(_ number: Int, by holder: Holder) {
        recalls[number]?.remove(holder)
        wake()
    }

    private func recall(_ keys: Set<Key>, _ messages: Messages) async {
        let who = keys.reduce(into: Set<Holder>()) { $0.formUnion(holders[$1] ?? []) }
        guard !who.isEmpty, !StoreFault.noRecall.isPlanted else { return }
        lastRecall += 1
        let number = lastRecall
        recalls[number] = who
        for holder in who { messages.recall(holder, number) }
        while let rest = recalls[number], !rest.isEmpty, !StoreFault.noWait.isPlanted {
            let now = Syscall.monotonicNanoseconds()
            for holder in rest where leases[holder] ?? 0 <= now {
                recalls[number]?.remove(holder)
                // One that never had a lease keeps nothing, and is about to get one.
                if leases.removeValue(forKey: holder) != nil { forget(holder, messages) }
            }
            if recalls[number]?.isEmpty == false { await sleep(milliseconds: Self.interval) }
        }
        recalls[number] = nil
        for key in keys { holders[key]?.subtract(who) }
    }

    private func forget(_ holder: Holder, _ messages: Messages) {
        messages.cutOff(holder)
        for key in holders.keys { holders[key]?.remove(holder) }
    }

    private func wake() {
        for waiter in waiters { waiter.resume() }
        waiters = []
    }

    private func sleep() async {
        await withCheckedContinuation { waiters.append($0) }
    }

    private func sleep(milliseconds: Int) async {
        Task {
            try? await Task.sleep(for: .milliseconds(milliseconds))
            wake()
        }
        await sleep()
    }
}
