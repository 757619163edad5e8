import Glibc
import KernelCache
import Testing

@testable import MountRegistry
@testable import shortfuse

@Suite struct BTFReportTests {
    @Test func aFileThatIsNotThereIsNamed() {
        #expect(throws: Failure("/no/such: No such file or directory; check the path")) {
            try BTFReport(btf: "/no/such", fuse: nil)
        }
    }

    /// The file that is at fault, of the two.
    @Test(
        .enabled(if: access("/sys/kernel/btf/vmlinux", R_OK) == 0), arguments: ["/no/such", "/"])
    func theFileAtFaultIsNamed(fuse: String) {
        let error = #expect(throws: Failure.self) {
            try BTFReport(btf: "/sys/kernel/btf/vmlinux", fuse: Path(fuse))
        }
        #expect(error?.description.hasPrefix("\(fuse): ") == true)
    }

    @Test(.enabled(if: access("/sys/kernel/btf/vmlinux", R_OK) == 0))
    func theRunningKernelFits() throws {
        let module: Path = "/sys/kernel/btf/fuse"
        let report = try BTFReport(
            btf: "/sys/kernel/btf/vmlinux", fuse: Files.exists(module) ? module : nil)
        #expect(report.fits && report.differences.isEmpty)
        #expect(report.kernel == TriedKernels.running)
        #expect(report.checks.allSatisfy { $0.status == .ok })
        let lines = report.text.split(separator: "\n")
        #expect(lines.count == report.checks.count + 1)
        #expect(lines.last?.contains(" fits") == true)
    }

    @Test(arguments: [
        ("6.1.0-56-amd64", true), ("6.12.95+deb12-amd64", true), ("6.12", true),
        ("6.1", true), ("7.3.4+deb13-amd64", true), ("6.18.5", false), ("6.10.1", false),
        ("6.120.1", false), ("7.4-rc7", false), ("", false),
    ])
    func knowsTriedKernels(release: String, isTried: Bool) {
        #expect(TriedKernels.has(release) == isTried)
    }
}
