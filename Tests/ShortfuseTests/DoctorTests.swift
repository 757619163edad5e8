import Testing

@testable import shortfuse

@Suite struct DoctorTests {
    /// A Debian kernel with everything there.
    private static let good: SystemFacts = {
        var facts = SystemFacts()
        facts.release = "6.1.0-56-amd64"
        facts.machine = "x86_64"
        facts.kernelBTF = true
        facts.bpffsMounted = true
        facts.bpffsKnown = true
        facts.ftrace = "1"
        facts.fuseDevice = true
        facts.fuseKnown = true
        facts.takesModules = true
        facts.module = .loaded
        facts.moduleVersion = Shortfuse.version
        facts.lockdown = "none"
        facts.kernelHeaders = true
        facts.bpftool = true
        return facts
    }()

    @Test func allIsWell() {
        let report = DoctorReport(kernel: Self.good.release, checks: Self.good.checks)
        #expect(report.accelerate)
        #expect(report.checks.allSatisfy { $0.status == .ok && $0.mend == nil })
        #expect(Set(report.checks.map(\.name)).count == report.checks.count)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let status: Check.Status
        let mend: String
        let change: @Sendable (inout SystemFacts) -> Void
        var testDescription: String { "\(name) \(mend)" }
    }

    @Test(arguments: [
        Case(name: "root", status: .missing, mend: "sudo") { $0.userID = 1000 },
        Case(name: "kernel", status: .warn, mend: "layout") { $0.release = "6.18.1" },
        Case(name: "kernel", status: .warn, mend: "layout") { $0.release = "6.10.1" },
        Case(name: "kernel", status: .ok, mend: "") { $0.release = "6.12.95+deb12-amd64" },
        Case(name: "kernel", status: .missing, mend: "x86-64") { $0.machine = "aarch64" },
        Case(name: "bpf", status: .missing, mend: "CONFIG_BPF") { $0.bpf = .fails("x") },
        Case(name: "btf", status: .missing, mend: "CONFIG_DEBUG") { $0.kernelBTF = false },
        Case(name: "layout", status: .missing, mend: "6.1") { $0.layout = .fails("x") },
        Case(name: "layout", status: .missing, mend: "modprobe fuse") {
            $0.layout = .fails("x")
            $0.fuseKnown = false
        },
        Case(name: "bpffs", status: .ok, mend: "") { $0.bpffsMounted = false },
        Case(name: "bpffs", status: .missing, mend: "CONFIG_BPF") {
            $0.bpffsMounted = false
            $0.bpffsKnown = false
        },
        Case(name: "ftrace", status: .missing, mend: "CONFIG_DYNAMIC") { $0.ftrace = nil },
        Case(name: "ftrace", status: .missing, mend: "sysctl") { $0.ftrace = "0" },
        Case(name: "fuse", status: .missing, mend: "modprobe") { $0.fuseDevice = false },
        Case(name: "fuse", status: .warn, mend: "modprobe") { $0.fuseKnown = false },
        Case(name: "modules", status: .missing, mend: "VM") { $0.takesModules = false },
        Case(name: "modules", status: .warn, mend: "loaded") { $0.modulesDisabled = true },
        Case(name: "modules", status: .missing, mend: "reboot") {
            $0.modulesDisabled = true
            $0.module = .notFound
        },
        Case(name: "module", status: .missing, mend: "devtmpfs") { $0.module = .deviceMissing },
        Case(name: "module", status: .missing, mend: "scripts/build") { $0.module = .notFound },
        Case(name: "module", status: .ok, mend: "") { $0.module = .found(path: "p", signer: "") },
        Case(name: "module", status: .warn, mend: "rmmod shortfuse && modprobe shortfuse") {
            $0.moduleVersion = "0.0.1"
        },
        Case(name: "module", status: .warn, mend: "the same versions") {
            $0.module = .found(path: "p", signer: "")
            $0.moduleVersion = "0.0.1"
        },
        Case(name: "signature", status: .missing, mend: "sign it") {
            $0.module = .found(path: "p", signer: "")
            $0.lockdown = "integrity"
        },
        Case(name: "signature", status: .missing, mend: "sign it") {
            $0.module = .notFound
            $0.signaturesEnforced = true
        },
        Case(name: "signature", status: .warn, mend: "mokutil") {
            $0.module = .found(path: "p", signer: "Me")
            $0.lockdown = "integrity"
        },
        Case(name: "signature", status: .missing, mend: "integrity") {
            $0.lockdown = "confidentiality"
        },
        Case(name: "headers", status: .warn, mend: "linux-headers-6.1.0-56-amd64") {
            $0.kernelHeaders = false
        },
        Case(name: "headers", status: .missing, mend: "apt-get") {
            $0.kernelHeaders = false
            $0.module = .notFound
        },
        Case(name: "compiler", status: .missing, mend: "install gcc make") {
            $0.missingTools = ["gcc", "make"]
            $0.module = .notFound
        },
        Case(name: "bpftool", status: .warn, mend: "apt-get") { $0.bpftool = false },
    ])
    func judges(test: Case) throws {
        var facts = Self.good
        test.change(&facts)
        let check = try #require(facts.checks.first { $0.name == test.name })
        #expect(check.status == test.status)
        #expect((check.mend ?? "").contains(test.mend), "\(check.text)")
        #expect((check.status == .ok) == (check.mend == nil))
        #expect(!check.text.contains("\n"))
        let report = DoctorReport(kernel: facts.release, checks: facts.checks)
        #expect(report.accelerate != facts.checks.contains { $0.status == .missing })
    }

    @Test(
        arguments: [
            ("none [integrity] confidentiality", "integrity"), ("[none] integrity", "none"),
            ("", nil), ("]x[", nil),
        ] as [(String, String?)])
    func readsLockdown(text: String, word: String?) {
        #expect(SystemFacts.bracketed(text) == word)
    }

    @Test func gathersWithoutHarm() {
        let facts = SystemFacts.gather()
        #expect(!facts.release.isEmpty)
        #expect(facts.checks.count == Self.good.checks.count)
    }

    /// What mount and attach say where modprobe has said the words.
    @Test(
        arguments: [
            ("Key was rejected by service", "Me", "by Me, whose key is not enrolled: mokutil"),
            ("Required key not available", "Me", "by Me, whose key is not enrolled: mokutil"),
            ("Operation not permitted", "", "which is not signed: sign it"),
            ("Key was rejected by service", "", "which is not signed: sign it"),
            ("Invalid argument", "Me", "module: Invalid argument; `dmesg`"),
            ("Exec format error", nil, "module: Exec format error; `dmesg`"),
        ] as [(String, String?, String)])
    func refusals(words: String, signer: String?, line: String) {
        let error = KernelModule.refusal(
            "modprobe: ERROR: could not insert 'shortfuse': \(words)", signer: signer)
        #expect("\(error)".hasPrefix("the kernel refuses the module"))
        #expect("\(error)".contains(line))
    }
}
