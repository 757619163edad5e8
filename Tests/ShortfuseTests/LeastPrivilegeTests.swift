import Glibc
import Syscall
import Testing

@testable import shortfuse

@Suite struct LeastPrivilegeTests {
    @Test func names() {
        #expect(CapabilitySet(rawValue: 0).names.isEmpty)
        #expect(CapabilitySet(rawValue: 1 << 21 | 1).names == ["chown", "sys_admin"])
        #expect(CapabilitySet(rawValue: 1 << 40 | 1 << 50).names == ["checkpoint_restore", "50"])
    }

    @Test func whatOthersNeedIsNotKept() {
        let kept = LeastPrivilege.ofMount.names
        for name in ["sys_module", "net_admin", "sys_rawio", "kill", "setpcap", "bpf", "mac_admin"]
        {
            #expect(!kept.contains(name))
        }
        #expect(kept.contains("dac_read_search"))
    }

    @Test(arguments: [
        ("22 28 0:20 / /proc rw,nosuid shared:5 - proc proc rw", false),
        ("22 28 0:20 / /proc rw,nosuid shared:5 - proc proc rw,hidepid=invisible", false),
        ("22 28 0:20 / /proc rw,nosuid shared:5 - proc proc rw,hidepid=ptraceable", true),
        ("22 28 0:20 / /proc rw,nosuid shared:5 - proc proc rw,gid=4", false),
        ("22 28 0:20 / /proc rw,nosuid - proc proc rw,gid=4,hidepid=2", true),
        ("22 28 0:20 / /srv rw,nosuid - proc proc rw,gid=4,hidepid=2", false),
        ("22 28 0:20 / /proc rw - tmpfs hidepid=2 rw", false),
        ("", false),
    ])
    func hiddenProcesses(mounts: String, areHidden: Bool) {
        #expect(
            LeastPrivilege.hidesProcesses("1 1 0:1 / / rw - ext4 /dev/x rw\n" + mounts) == areHidden
        )
    }

    /// A thread of its own: what it gives up is gone for good.
    @Test func isGivenUp() throws {
        let worker = try Worker("limit") {
            let before = (try? Syscall.effectiveCapabilities()) ?? []
            let kept = try? Syscall.limitCapabilities(to: [.chown, .sysAdmin])
            #expect(kept == before.intersection([.chown, .sysAdmin]))
            #expect((try? Syscall.effectiveCapabilities()) == kept)
            #expect(
                (try? Syscall.limitCapabilities(to: .sysAdmin)) == before.intersection(.sysAdmin))
        }
        worker.join()
    }

    @Test func threadsAreCounted() throws {
        let before = try Syscall.threadCount()
        let monitor = Monitor()
        nonisolated(unsafe) var isOver = false
        let worker = try Worker("waits") {
            monitor.withLock { while !isOver { monitor.wait() } }
        }
        // Others come and go while tests run.
        #expect(before > 0)
        #expect(try Syscall.threadCount() > 1)
        monitor.withLock {
            isOver = true
            monitor.broadcast()
        }
        worker.join()
    }
}
