import Glibc

/// Priority for a thread with short, urgent work: during short bursts it runs before all threads
/// without a real-time priority (sched(7)).
///
/// The thread itself calls `begin` when it wakes, `goOn` from time to time, and `end` before it
/// waits.
public final class BurstPriority {
    /// Nanoseconds: the longest time for which other threads wait, too short to be noticed.
    private static let longest: UInt64 = 20_000_000
    /// The lowest there is.
    private static let level: Int32 = 1

    private var began: UInt64 = 0
    private var isRaised = false
    private let canRaise: Bool

    /// Raises the priority. Without permission (`CAP_SYS_NICE`) nothing changes.
    public init() {
        // For the time after `longest`, and where real-time priority is not available: the nice
        // value then counts among the threads of a control group or a session.
        Syscall.setNiceness(-20)
        canRaise = Self.take(SCHED_RR, Self.level)
        isRaised = canRaise
    }

    public func begin() { began = Syscall.monotonicNanoseconds() }

    /// Gives the priority up for the rest of a long burst.
    public func goOn() {
        guard isRaised, Syscall.monotonicNanoseconds() &- began > Self.longest else { return }
        isRaised = !Self.take(SCHED_OTHER, 0)
    }

    public func end() {
        if canRaise, !isRaised { isRaised = Self.take(SCHED_RR, Self.level) }
    }

    /// Only for the calling thread, not for threads that it starts.
    private static func take(_ policy: Int32, _ level: Int32) -> Bool {
        var parameter = sched_param(sched_priority: level)
        return sched_setscheduler(0, policy | resetOnFork, &parameter) == 0
    }

    /// SCHED_RESET_ON_FORK, which glibc declares under _GNU_SOURCE only.
    private static let resetOnFork: Int32 = 0x4000_0000
}
