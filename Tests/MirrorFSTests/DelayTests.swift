import Glibc
import Synchronization
import Syscall
import SystemPackage
import Testing

@testable import MirrorFS

/// How long it takes from a change in SOURCE until the kernel answers nothing old any more. A measurement,
/// which keeps all processors busy: only with SHORTFUSE_MEASURE in the environment.
@Suite(.serialized, .enabled(if: geteuid() == 0 && getenv("SHORTFUSE_MEASURE") != nil))
struct DelayTests {
    private typealias Mirror = SourceChangesTests.Mirror

    /// Milliseconds, sorted.
    struct Delays: CustomStringConvertible {
        let sorted: [Double]
        subscript(part: Double) -> Double { sorted[Int(Double(sorted.count - 1) * part)] }
        var description: String {
            "ms: "
                + [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("max", 1)]
                .map { name, part in "\(name) \((self[part] * 100).rounded() / 100)" }
                .joined(separator: ", ")
        }
    }

    /// Processes that want all processors, until the end of this.
    private final class Load {
        private var processes: [pid_t] = []

        init(_ count: Int) throws {
            let words = ["sh", "-c", "while :; do :; done"]
            var arguments = words.map { strdup($0) } + [nil]
            defer { for argument in arguments { free(argument) } }
            for _ in 0..<count {
                var process = pid_t()
                try #require(
                    posix_spawn(&process, "/bin/sh", nil, nil, &arguments, environ) == 0)
                processes.append(process)
            }
        }

        deinit {
            for process in processes {
                kill(process, SIGKILL)
                waitpid(process, nil, 0)
            }
        }
    }

    /// The thread that changes and looks runs before all others: only the watcher is late.
    private func measure(isUrgent: Bool, changes: Int) throws -> [Double] {
        // File by file own changes are told, too.
        let mirror = try Mirror(.watch, byInode: true, isUrgent: isUrgent)
        try mirror.behind(": >file")
        usleep(50_000)
        let node = try mirror.lookup("file")
        let path = mirror.source + "/file"
        let outcome = Mutex<Result<[Double], Errno>?>(nil)
        nonisolated(unsafe) let shared = mirror
        try Worker("measure") {
            var parameter = sched_param(sched_priority: 2)
            guard sched_setscheduler(0, SCHED_FIFO, &parameter) == 0 else {
                return outcome.withLock { $0 = .failure(.notPermitted) }
            }
            let delays = (0..<changes).map { number in
                // Whoever was held up before this may rest now.
                usleep(2_000)
                while (try? shared.cache.getattr(node).reply) == nil {
                    _ = try? shared.mirror.attributes(shared.root, of: node, handle: nil)
                    usleep(1_000)
                }
                let start = Syscall.monotonicNanoseconds()
                chmod(path, 0o600 + mode_t(number % 2))
                while (try? shared.cache.getattr(node).reply) != nil { usleep(50) }
                return Double(Syscall.monotonicNanoseconds() &- start) / 1e6
            }
            outcome.withLock { $0 = .success(delays) }
        }.join()
        return try #require(outcome.withLock { $0 }).get()
    }

    /// With and without priority, one in turn with the other, so that both meet the same machine.
    private func compare(changes: Int) throws -> (urgent: Delays, twin: Delays) {
        var delays: [Bool: [Double]] = [:]
        for _ in 0..<5 {
            for isUrgent in [true, false] {
                delays[isUrgent, default: []] += try measure(
                    isUrgent: isUrgent, changes: changes / 5)
            }
        }
        return (
            Delays(sorted: delays[true, default: []].sorted()),
            Delays(sorted: delays[false, default: []].sorted())
        )
    }

    /// All processors are busy; the twin's thread waits until one of those who want them has had its
    /// time.
    @Test func theBusyAreNotWaitedFor() throws {
        let load = try Load(sysconf(Int32(_SC_NPROCESSORS_ONLN)) * 4)
        defer { withExtendedLifetime(load) {} }
        let (urgent, twin) = try compare(changes: 500)
        print("delay: on busy processors, \(urgent)")
        print("delay: the same without priority, \(twin)")
        #expect(urgent[0.95] < twin[0.95] / 2)
    }

    @Test func nobodyIsBusy() throws {
        let (urgent, twin) = try compare(changes: 500)
        print("delay: nothing else to do, \(urgent)")
        print("delay: the same without priority, \(twin)")
        #expect(urgent[0.5] < twin[0.5] * 2)
    }
}
