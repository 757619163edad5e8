import Glibc
import MountRegistry
import Synchronization
import SystemPackage

/// Collects what `metrics` shows, for whoever asks.
final class MetricsCollector: Sendable {
    /// For all answers of mounts together. Less, and a busy machine would be taken for a mount that
    /// hangs; more, and Prometheus would give up, by default after 10 seconds.
    private static let patience = Duration.seconds(5)

    private struct State {
        let questions: MountQuestions
        /// The last collection, and when it began.
        var last: (began: ContinuousClock.Instant, text: String)?
        /// What was complained about at the last look: each is told once.
        var told: Set<String> = []
    }

    /// Canonical mount points; empty: all that there are.
    private let named: [Path]
    /// Held while somebody collects: one at a time.
    private let state: Mutex<State>

    /// - Parameter end: when it can be read, no mount is waited for any more.
    init(named: [Path], until end: FileDescriptor) {
        self.named = named
        state = Mutex(State(questions: MountQuestions(until: end)))
    }

    /// - Parameter asked: when somebody asked. Those who asked before a collection began share it, so
    ///   that many of them cost no more than one.
    func text(asked: ContinuousClock.Instant) throws(Failure) -> String {
        try state.withLock { state throws(Failure) in
            if let last = state.last, last.began >= asked { return last.text }
            let began = ContinuousClock.now
            let text = try collect(&state)
            state.last = (began, text)
            return text
        }
    }

    private func collect(_ state: inout State) throws(Failure) -> String {
        var complaints: [String] = []
        let (found, unreadable) = try find { complaints.append($0) }
        let living = found.filter { $0.state?.process.isAlive ?? false }.map(\.mountpoint)
        let silent = state.questions.ask(living, patience: Self.patience)
        let mounts = found.map { mount in
            guard let known = mount.state else {
                return MountMetrics(mountpoint: mount.mountpoint, down: "it is not mounted")
            }
            return MountMetrics(known, mount.runtime, complaint: silent[mount.mountpoint]) {
                complaints.append($0)
            }
        }
        for mount in mounts {
            if let down = mount.down { complaints.append("\(mount.mountpoint): down: \(down)") }
        }
        for new in complaints where !state.told.contains(new) { warn(new) }
        state.told = Set(complaints)
        return MetricsReport.text(mounts, unreadable: unreadable)
    }

    /// A mount, or a place where one is wanted.
    private struct Found {
        let mountpoint: Path
        let runtime: RuntimeDirectory
        let state: MountState?
    }

    /// - Parameter telling: what could not be read.
    /// - Returns: the mounts, and how many cannot be read.
    private func find(
        telling: (String) -> Void
    ) throws(Failure) -> (mounts: [Found], unreadable: Int) {
        var unreadable = 0
        func tell(_ failure: Failure) {
            unreadable += 1
            telling(failure.description)
        }
        if named.isEmpty {
            let mounts = try KnownMounts.all(telling: tell)
                // Other mounts have taken the places of those: two could not be told apart.
                .filter { RuntimeDirectory(mountpoint: $0.0.mountpoint).name == $0.1.name }
                .map { Found(mountpoint: $0.0.mountpoint, runtime: $0.1, state: $0.0) }
            return (mounts, unreadable)
        }
        var mounts: [Found] = []
        for mountpoint in named {
            let runtime = RuntimeDirectory(mountpoint: mountpoint)
            var state: MountState?
            do throws(Failure) {
                state = try runtime.state()
            } catch {
                tell(error)
            }
            if state?.mountpoint != mountpoint { state = nil }
            mounts.append(Found(mountpoint: mountpoint, runtime: runtime, state: state))
        }
        return (mounts, unreadable)
    }
}
