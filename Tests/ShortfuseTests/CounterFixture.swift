@testable import MountRegistry
@testable import shortfuse

/// What a daemon has written of a mount at /nowhere.
struct CounterFixture {
    private let scratch: Scratch
    let runtime: RuntimeDirectory
    /// All counters.
    let words: UnsafeMutablePointer<UInt64>

    init() throws {
        scratch = try Scratch()
        runtime = RuntimeDirectory(mountpoint: "/nowhere", root: "\(scratch.path)/run")
        try runtime.claim(Self.state())
        let file = try CounterFile(path: runtime.requestsPath)
        words = (file.nodes - CounterLayout.nodes.lowerBound)
            .assumingMemoryBound(to: UInt64.self)
    }

    static func state(_ process: ProcessIdentity = .current) -> MountState {
        var state = MountState(
            process: process, source: "/s", mountpoint: "/nowhere", pins: "/pins", options: [])
        state.reason = "no \"module\""
        return state
    }
}
