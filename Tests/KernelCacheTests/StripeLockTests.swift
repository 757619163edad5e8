import Glibc
import Synchronization
import Syscall
import SystemPackage
import Testing

@testable import KernelCache

/// What becomes of who wants a lock that somebody has for long.
@Suite struct StripeLockTests {
    /// Runs `body` while another thread has the lock of key 1.
    private func whileHeld(
        _ locks: StripeLocks, _ body: () throws -> Void
    ) throws {
        let isHeld = Atomic(false)
        let isOver = Atomic(false)
        let holder = try Worker("holder") {
            try? locks.withLock(1) { () throws(Errno) in
                isHeld.store(true, ordering: .sequentiallyConsistent)
                while !isOver.load(ordering: .sequentiallyConsistent) { usleep(1_000) }
            }
        }
        while !isHeld.load(ordering: .sequentiallyConsistent) { usleep(1_000) }
        defer {
            isOver.store(true, ordering: .sequentiallyConsistent)
            holder.join()
        }
        try body()
    }

    @Test func aReaderGoesOnWithoutIt() throws {
        let locks = StripeLocks(bits: 4, isAbandoned: { false })
        let free = try locks.withLockUnlessHeld(1) { (isLocked) throws(Errno) in isLocked }
        #expect(free)
        try whileHeld(locks) {
            let held = try locks.withLockUnlessHeld(1) { (isLocked) throws(Errno) in isLocked }
            #expect(!held)
        }
    }

    @Test func aChangeIsGivenUpWhenNobodyWantsIt() throws {
        let locks = StripeLocks(bits: 4, isAbandoned: { true })
        try whileHeld(locks) {
            #expect(throws: Errno.interrupted) {
                try locks.withLock(1) { () throws(Errno) in Issue.record("it ran") }
            }
            #expect(throws: Errno.interrupted) {
                try locks.withLocks([1, 2, 3, 4]) { () throws(Errno) in Issue.record("it ran") }
            }
        }
        // And what was taken of several is free again.
        for key in UInt64(1)...4 { try locks.withLock(key) { () throws(Errno) in } }
    }

    @Test func aChangeThatIsWantedWaits() throws {
        let locks = StripeLocks(bits: 4, isAbandoned: { false })
        let start = Syscall.monotonicNanoseconds()
        let releaser = try Worker("holder") {
            do { try locks.withLock(1) { () throws(Errno) in _ = usleep(300_000) } } catch {}
        }
        usleep(50_000)
        try locks.withLock(1) { () throws(Errno) in }
        #expect(Syscall.monotonicNanoseconds() - start > 250_000_000)
        releaser.join()
    }
}
