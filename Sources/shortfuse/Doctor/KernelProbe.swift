import KernelCache
import Logging

/// Tries, for doctor, what a mount will need of the kernel.
enum KernelProbe {
    /// Loads the real programs, pins nothing, and lets go of them.
    static func programs() -> SystemFacts.Outcome {
        do {
            let cache = try KernelCache(
                options: .init(slots: 64, names: 64, dataBytes: 0), logger: Logger(label: "doctor")
            ) { _, _ in }
            cache.close()
            return .works
        } catch {
            return .fails("\(error)")
        }
    }

    /// Looks at this kernel's FUSE as attaching will.
    static func layout() -> SystemFacts.Outcome {
        do {
            try KernelFit.running().require()
            return .works
        } catch {
            return .fails("\(error)")
        }
    }
}
