import Glibc
import Testing

@testable import MountRegistry
@testable import shortfuse

@Suite struct StatusTests {
    private func report(alive: Bool, requests: [Int: UInt64] = [:]) throws -> MountReport {
        let scratch = try Scratch()
        let runtime = RuntimeDirectory(mountpoint: "/nowhere", root: Path(scratch.path))
        var bytes = [UInt8](repeating: 0, count: OpcodeNames.count * 8)
        for (opcode, value) in requests {
            for byte in 0..<8 {
                bytes[opcode * 8 + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(byte)))
            }
        }
        mkdir(runtime.path.cString, 0o700)
        try Files.replace(runtime.requestsPath, with: bytes)
        var state = MountState(
            process: alive ? .current : ProcessIdentity(pid: 1, startTime: 0), source: "/s",
            mountpoint: "/nowhere", pins: "/pins", options: [])
        state.reason = "no module"
        return try MountReport(state, runtime: runtime)
    }

    @Test func countsByName() throws {
        let report = try report(alive: true, requests: [1: 3, 3: 1 << 40, 63: 9])
        #expect(report.daemonRequests == ["LOOKUP": 3, "GETATTR": 1 << 40, "OPCODE_63": 9])
        #expect(report.text.contains("GETATTR          1099511627776"))
    }

    @Test func tellsWhatWasAgreedOn() throws {
        var report = try report(alive: true)
        #expect(!report.text.contains("capabilities"))
        report.connection = ConnectionState(
            protocolVersion: "7.38", capabilities: ["async_read", "posix_acl"],
            maxWrite: 1_048_576, maxReadahead: 131_072)
        #expect(report.text.contains("\n  capabilities: async_read posix_acl"))
        #expect(report.text.contains("protocol 7.38, max_write 1048576, max_readahead 131072"))
    }

    @Test func tellsWhatThereIsToGain() throws {
        var report = try report(alive: true)
        report.answered = ["GETXATTR": 9]
        report.passed = ["LOOKUP": 900]
        #expect(report.gain == nil)
        report.attached = AttachedState(policy: "own", type: "fuse")
        #expect(report.gain == "9 of 909 requests answered")
        report.passed = ["LOOKUP": 990]
        #expect(report.text.contains("\n  9 of 999 requests answered\n"))
        report.passed = ["LOOKUP": 1000]
        #expect(report.text.contains("\n  9 of 1009 requests answered; so far the kernel"))
        report.answered = ["LOOKUP": 100]
        #expect(report.text.contains("\n  100 of 1100 requests answered\n"))
    }

    @Test func tellsTheDead() throws {
        let report = try report(alive: false)
        #expect(report.state == .dead)
        #expect(!report.accelerated)
        #expect(report.text.contains("shortfuse unmount /nowhere"))
    }

    @Test func hasTheKeysThatScriptsRead() throws {
        let json = String(
            decoding: try JSON.encode(StatusReport(mounts: [report(alive: true)])), as: UTF8.self)
        for key in [
            "mounts", "source", "mountpoint", "pid", "state", "accelerated", "reason", "pins",
            "requests_file", "daemon_requests", "answered", "passed", "refused",
        ] {
            #expect(json.contains("\"\(key)\" :"), "\(key)")
        }
    }

    @Test(arguments: [
        (1, "LOOKUP"), (3, "GETATTR"), (38, "DESTROY"), (45, "RENAME2"), (51, "TMPFILE"),
        (7, "OPCODE_7"),
    ])
    func namesOpcodes(opcode: Int, name: String) {
        #expect(OpcodeNames.name(opcode) == name)
    }

    @Test func timestampIsISO8601() {
        #expect(MountState.timestamp(0) == "1970-01-01T00:00:00Z")
    }
}
