import Glibc
import Synchronization
import Syscall
import SystemPackage

/// The rounds: all workers make calls at once, meet, check what they saw, meet, and go on. The
/// histories are short and the memory bounded, because nothing is under way between the rounds.
final class Run: Sendable {
    struct Options: Sendable {
        var operations = 100_000
        var seed: UInt64 = 1
        var workers = 4
        /// Calls of each worker in a round. More: longer histories, fewer stops.
        var roundLength = 48
        /// What is not asked for, or not judged.
        var lacking: Set<Ability> = []
        /// Nil: nothing changes behind the mount.
        var behind: BehindFiles.Options?
    }

    private let options: Options
    private let scene: Scene
    private let barrier: Barrier
    private let violations = Mutex<[String]>([])
    private let operations = Atomic(0)
    private let mixedReads = Atomic(0)

    init(_ options: Options) {
        self.options = options
        scene = Scene(
            workers: options.workers, owner: geteuid(), changesBehind: options.behind != nil,
            lacking: options.lacking)
        barrier = Barrier(options.workers)
    }

    /// Runs until `operations` calls were made or something is wrong.
    /// - Parameter makeClient: called on the worker's own thread.
    func run(
        makeClient: @escaping @Sendable (Int) throws -> any Client
    ) -> (operations: Int, violations: [String], mixedReads: Int) {
        Crew.run(options.workers) { number in
            do {
                let client = try makeClient(number)
                let behind = try self.options.behind.map { (options) throws(Errno) in
                    try BehindFiles(options, owner: number)
                }
                self.work(
                    Worker(number, client, self.scene, seed: self.options.seed, behind: behind))
                client.close()
            } catch {
                self.violations.withLock { $0.append("worker \(number) cannot start: \(error)") }
                self.work(nil)
            }
        }
        return (
            operations.load(ordering: .relaxed), violations.withLock { $0 },
            mixedReads.load(ordering: .relaxed)
        )
    }

    /// - Parameter worker: nil for one that could not start, which still has to meet the others.
    private func work(_ worker: Worker?) {
        var lastNote = Syscall.monotonicNanoseconds()
        var isOver = false
        while !isOver {
            barrier.wait()
            if let worker {
                let before = worker.operations
                for _ in 0..<options.roundLength { worker.step() }
                operations.add(worker.operations - before, ordering: .relaxed)
                if !worker.complaints.isEmpty {
                    violations.withLock { $0 += worker.complaints }
                }
            }
            barrier.wait()
            if let worker { check(worker.number) }
            barrier.wait()
            let done = operations.load(ordering: .relaxed)
            isOver = done >= options.operations || violations.withLock { !$0.isEmpty }
            if worker?.number == 0, Syscall.monotonicNanoseconds() &- lastNote > 10_000_000_000 {
                lastNote = Syscall.monotonicNanoseconds()
                note("\(done) operations")
            }
        }
        if let worker { mixedReads.add(worker.mixedReads, ordering: .relaxed) }
    }

    /// Checks this worker's share of the objects.
    private func check(_ number: Int) {
        for (index, subject) in scene.subjects.enumerated()
        where index % options.workers == number {
            if let violation = subject.conclude() {
                violations.withLock { $0.append(violation) }
            }
        }
    }
}

/// To standard error: standard output has the result.
func note(_ text: String) {
    let line = Array("coherence-check: \(text)\n".utf8)
    write(STDERR_FILENO, line, line.count)
}
