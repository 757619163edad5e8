import Testing

@testable import StoreFS

@Suite struct ChangeClockTests {
    private let clock = ChangeClock()

    @Test func whatDoesNotChangeMayBeKept() {
        let since = clock.now
        #expect(clock.permits(1, since: since))
        clock.begin(2)
        #expect(clock.permits(1, since: since))
    }

    @Test func nothingIsKeptDuringAChange() {
        clock.begin(1)
        #expect(!clock.permits(1, since: clock.now))
        clock.end(1)
        #expect(clock.permits(1, since: clock.now))
    }

    @Test func whatWasReadBeforeAChangeIsNotKeptAfterIt() {
        let before = clock.now
        clock.begin(1)
        let during = clock.now
        clock.end(1)
        #expect(!clock.permits(1, since: before))
        #expect(!clock.permits(1, since: during))
    }

    @Test func twoChangesEndEach() {
        clock.begin(1)
        clock.begin(1)
        clock.end(1)
        #expect(!clock.permits(1, since: clock.now))
        clock.end(1)
        #expect(clock.permits(1, since: clock.now))
    }

    @Test func everythingMayChange() {
        let since = clock.now
        clock.changeAll()
        #expect(!clock.permits(1, since: since))
        #expect(clock.permits(1, since: clock.now))
    }
}
