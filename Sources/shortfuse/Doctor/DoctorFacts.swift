import Glibc
import KernelCache
import MountRegistry
import SystemPackage

/// What can be seen of this system, without a judgement.
struct SystemFacts: Equatable, Sendable {
    enum Module: Equatable, Sendable {
        /// Running, and its device is there.
        case loaded
        /// Running, but /dev/shortfuse is not there.
        case deviceMissing
        /// modprobe would find it.
        case found(path: String, signer: String)
        case notFound
    }

    enum Outcome: Equatable, Sendable {
        case works
        case fails(String)
    }

    var release = ""
    var machine = ""
    var userID: UInt32 = 0
    var bpf = Outcome.works
    var kernelBTF = false
    /// Where the types of FUSE were found, and whether the hook understands them.
    var layout = Outcome.works
    var bpffsMounted = false
    var bpffsKnown = false
    /// The text of kernel.ftrace_enabled, nil if this kernel has no ftrace.
    var ftrace: String?
    var fuseDevice = false
    var fuseKnown = false
    var takesModules = false
    var modulesDisabled = false
    var module = Module.notFound
    /// Of the module that runs, else of the one that modprobe would find.
    var moduleVersion: String?
    /// The word in brackets of /sys/kernel/security/lockdown.
    var lockdown: String?
    var secureBoot = false
    var signaturesEnforced = false
    var kernelHeaders = false
    /// Which of gcc and make are not there.
    var missingTools: [String] = []
    var bpftool = false

    static func gather() -> SystemFacts {
        var facts = SystemFacts()
        var name = utsname()
        uname(&name)
        facts.release = TriedKernels.running
        facts.machine = text(of: &name.machine)
        facts.userID = geteuid()
        facts.bpf = KernelProbe.programs()
        facts.kernelBTF = Files.exists("/sys/kernel/btf/vmlinux")
        facts.layout = KernelProbe.layout()
        let fileSystems = Files.text("/proc/filesystems") ?? ""
        let known = fileSystems.split { $0.isWhitespace }
        facts.bpffsMounted =
            (try? MountTable.top(at: Path(PinDirectory.fileSystem)))??.type == "bpf"
        facts.bpffsKnown = known.contains("bpf")
        facts.ftrace = Files.text("/proc/sys/kernel/ftrace_enabled")
        facts.fuseDevice = Files.exists("/dev/fuse")
        facts.fuseKnown = known.contains("fuse")
        facts.takesModules = Files.exists("/proc/modules")
        facts.modulesDisabled = Files.text("/proc/sys/kernel/modules_disabled") == "1"
        facts.module = findModule(release: facts.release)
        facts.moduleVersion = KernelModule.version(release: facts.release)
        facts.lockdown = KernelModule.lockdown
        facts.secureBoot = readSecureBoot()
        facts.signaturesEnforced = KernelModule.signaturesEnforced
        facts.kernelHeaders = Files.exists("/lib/modules/\(facts.release)/build/Makefile")
        facts.missingTools = ["gcc", "make"].filter { Tool.path($0) == nil }
        facts.bpftool = Tool.path("bpftool") != nil
        return facts
    }

    private static func findModule(release: String) -> Module {
        if KernelModule.isLoaded {
            return KernelModule.isPresent ? .loaded : .deviceMissing
        }
        guard let path = Tool.output("modinfo", ["-k", release, "-F", "filename", "shortfuse"]),
            !path.isEmpty
        else { return .notFound }
        return .found(path: path, signer: KernelModule.signer(release: release))
    }

    /// The fifth byte of the variable; the first four are its attributes.
    private static func readSecureBoot() -> Bool {
        let bytes = try? Files.read(
            "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c")
        guard let bytes, bytes.count > 4 else { return false }
        return bytes[4] == 1
    }

    /// The chosen one of "none [integrity] confidentiality".
    static func bracketed(_ text: String) -> String? {
        guard let start = text.firstIndex(of: "["),
            let end = text[start...].firstIndex(of: "]")
        else { return nil }
        return String(text[text.index(after: start)..<end])
    }

    private static func text<T>(of field: inout T) -> String {
        withUnsafeBytes(of: &field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}

/// The kernel module, as the system shows it.
enum KernelModule {
    static let device = "/dev/shortfuse"

    static var isPresent: Bool { Files.exists(Path(device)) }

    static var isLoaded: Bool {
        (Files.text("/proc/modules") ?? "").split(separator: "\n").contains {
            $0.hasPrefix("shortfuse ")
        }
    }

    /// Of the one that runs, else of the one that modprobe would find.
    static func version(release: String) -> String? {
        Files.text("/sys/module/shortfuse/version")
            ?? Tool.output("modinfo", ["-k", release, "-F", "version", "shortfuse"])
    }

    /// Of the one that modprobe would find; empty if it is not signed.
    static func signer(release: String) -> String {
        Tool.output("modinfo", ["-k", release, "-F", "signer", "shortfuse"]) ?? ""
    }

    /// The word in brackets of /sys/kernel/security/lockdown.
    static var lockdown: String? {
        Files.text("/sys/kernel/security/lockdown").flatMap(SystemFacts.bracketed)
    }

    static var signaturesEnforced: Bool {
        Files.text("/sys/module/module/parameters/sig_enforce") == "Y"
    }

    /// Loads it if it is installed and was not loaded yet; but not into a kernel that it does not
    /// know, where its hooks would take arguments for what they are not.
    /// - Returns: the kernel that runs, which fits.
    static func load() throws(KernelCacheError) -> KernelFit {
        let canLoad = Files.exists("/proc/modules")
        // By far the most frequent reason, and found without reading the kernel's types.
        guard isPresent || canLoad else { throw .moduleMissing }
        let fileSystems = (Files.text("/proc/filesystems") ?? "").split { $0.isWhitespace }
        // A module has its types to read only once it is loaded.
        if canLoad, !fileSystems.contains("fuse") { _ = Tool.output("modprobe", ["-q", "fuse"]) }
        let kernel = try KernelFit.running()
        try kernel.require()
        if !isPresent, let (words, status) = Tool.complaint("modprobe", ["shortfuse"]),
            status != 0, words.contains("could not insert")
        {
            let demand = signaturesEnforced || !["none", nil].contains(lockdown)
            throw refusal(
                words, signer: demand ? signer(release: TriedKernels.running) : nil)
        }
        guard isPresent else { throw .moduleMissing }
        return kernel
    }

    /// What the kernel has against it, and the mend.
    ///
    /// - Parameters:
    ///   - words: modprobe's, as "modprobe: ERROR: could not insert 'shortfuse': Invalid argument".
    ///   - signer: of the module; nil if the kernel wants none.
    static func refusal(_ words: String, signer: String?) -> KernelCacheError {
        let reason = words.split(separator: "\n").last?.split(separator: ": ").last ?? ""
        // The last one is lockdown's.
        let isSignature = ["key ", "Key ", "not permitted"].contains { reason.contains($0) }
        return switch signer {
        case "" where isSignature:
            .moduleRefused(reason: ", which is not signed: \(signIt)")
        case let signer? where isSignature:
            .moduleRefused(
                reason: ", signed by \(signer), whose key is not enrolled: \(enroll), and reboot")
        default:
            .moduleRefused(reason: ": \(reason); `dmesg` may say more")
        }
    }

    static let enroll = "mokutil --import /var/lib/dkms/mok.pub"
    static let signIt =
        "sign it with an enrolled key (DKMS does: \(enroll)), or switch Secure Boot off"
}
