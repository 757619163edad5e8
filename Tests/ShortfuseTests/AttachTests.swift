import Testing

@testable import MountRegistry
@testable import shortfuse

@Suite struct AttachTests {
    @Test func policies() {
        #expect(AttachPolicy(argument: "own")?.policy == .own)
        #expect(AttachPolicy(argument: "exclusive")?.policy == .exclusive)
        #expect(AttachPolicy(argument: "ttl=1.5")?.policy == .ttl(milliseconds: 1500))
    }

    @Test(arguments: ["", "ttl", "ttl=", "ttl=0", "ttl=-1", "ttl=nan", "ttl=1e9", "Own", "often"])
    func refusedPolicies(text: String) {
        #expect(AttachPolicy(argument: text) == nil)
    }

    @Test func whatIsNoFUSEMount() {
        #expect(throws: Failure.self) { try AttachTarget("/proc") }
        #expect(throws: Failure.self) { try AttachTarget("/proc/self") }
        #expect(throws: Failure.self) { try AttachTarget("/nowhere") }
    }
}
