import ArgumentParser
import KernelCache

/// `--policy`: own, ttl=SECONDS or exclusive.
struct AttachPolicy: ExpressibleByArgument, Sendable, Equatable {
    let policy: AttachedCache.Policy
    let text: String

    static let own = Self(policy: .own, text: "own")

    /// For `--help`.
    var defaultValueDescription: String { text }

    private init(policy: AttachedCache.Policy, text: String) {
        self.policy = policy
        self.text = text
    }

    init?(argument: String) {
        switch argument {
        case "own": policy = .own
        case "exclusive": policy = .exclusive
        default:
            // A day: longer is hardly meant, and would be exclusive.
            guard argument.hasPrefix("ttl="), let seconds = Double(argument.dropFirst(4)),
                (0.001...86_400).contains(seconds)
            else { return nil }
            policy = .ttl(milliseconds: Int(seconds * 1000))
        }
        text = argument
    }
}
