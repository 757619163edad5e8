import ArgumentParser
import MountRegistry

extension Path {
    /// For the command line of another process, see `Arguments`.
    var argument: String { Arguments.text(bytes) }
}

extension Path: ExpressibleByArgument {
    /// - Parameter argument: as `Arguments` has it.
    package init(argument: String) {
        self.init(bytes: Arguments.bytes(argument))
    }
}
