import Glibc

/// The priority of a thread that has little to do, and that at once: it runs before all threads without
/// a real-time priority (sched(7)) for as long as what it has to do is little.
///
/// To be used by the thread itself: `begin` when it wakes, `goOn` from time to time, `end` before it waits.
public final class BurstPriority {
    /// Nanoseconds. Others wait for so long at most, and for a moment they do not notice it.
    private static let longest: UInt64 = 20_000_000
    /// The lowest there is.
    private static let level: Int32 = 1

    private var began: UInt64 = 0
    private var isRaised = false
    private let canRaise: Bool

    /// Takes the priority. Where the process may not (`CAP_SYS_NICE`) all stays as it is.
    public init() {
        // For the time after `longest`, and where there is no real-time priority to be had: then it
        // counts among the threads of a control group, or of a session.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, -20)
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

    /// Of the calling thread alone, and not of threads that it starts.
    private static func take(_ policy: Int32, _ level: Int32) -> Bool {
        var parameter = sched_param(sched_priority: level)
        return sched_setscheduler(0, policy | resetOnFork, &parameter) == 0
    }

    /// SCHED_RESET_ON_FORK, which glibc declares under _GNU_SOURCE only.
    private static let resetOnFork: Int32 = 0x4000_0000
}
