import KernelCache

/// The judgement: each requirement, in the order in which one mends them.
extension SystemFacts {
    var checks: [Check] {
        [
            rootCheck, kernelCheck, bpfCheck, btfCheck, layoutCheck, bpffsCheck, ftraceCheck,
            fuseCheck, modulesCheck, moduleCheck, signatureCheck, headersCheck, compilerCheck,
            bpftoolCheck,
        ]
    }

    private static let buildModule =
        "scripts/build --kmod-only --kernel host && insmod .build/kmod/host/shortfuse.ko"

    private var rootCheck: Check {
        userID == 0
            ? .ok("root", "yes")
            : .missing(
                "root", "user \(userID)",
                mend: "run it with sudo: users' mounts are not accelerated")
    }

    private var kernelCheck: Check {
        guard machine == "x86_64" else {
            return .missing(
                "kernel", "\(release) on \(machine)",
                mend: "use an x86-64 machine: the hook is for it")
        }
        return TriedKernels.has(release)
            ? .ok("kernel", "\(release) (tried series)")
            : .warn(
                "kernel", "\(release), not of a tried series (\(TriedKernels.list))",
                mend: "the line \"layout\" decides")
    }

    private var bpfCheck: Check {
        switch bpf {
        case .works:
            .ok("bpf", "the programs can be loaded")
        case .fails(let why):
            .missing(
                "bpf", why,
                mend: userID == 0
                    ? "use a kernel with CONFIG_BPF_SYSCALL, outside a restricted container"
                    : "run it with sudo")
        }
    }

    private var btfCheck: Check {
        kernelBTF
            ? .ok("btf", "/sys/kernel/btf/vmlinux")
            : .missing(
                "btf", "no /sys/kernel/btf/vmlinux",
                mend: "use a kernel with CONFIG_DEBUG_INFO_BTF, as Debian's are")
    }

    private var layoutCheck: Check {
        switch layout {
        case .works:
            .ok("layout", "functions and fields of this kernel's FUSE are as the hook knows them")
        case .fails(let why):
            .missing(
                "layout", why,
                mend: fuseKnown
                    ? "use a kernel of a tried series (\(TriedKernels.list))"
                    : "load FUSE: modprobe fuse")
        }
    }

    private var bpffsCheck: Check {
        if bpffsMounted { return .ok("bpffs", "mounted at \(PinDirectory.fileSystem)") }
        return bpffsKnown
            ? .ok(
                "bpffs", "not mounted at \(PinDirectory.fileSystem) yet; shortfuse mount does that")
            : .missing("bpffs", "not in this kernel", mend: "use a kernel with CONFIG_BPF_SYSCALL")
    }

    private var ftraceCheck: Check {
        switch ftrace {
        case nil:
            .missing(
                "ftrace", "not in this kernel",
                mend: "use a kernel with CONFIG_DYNAMIC_FTRACE, as Debian's are")
        case "0":
            .missing("ftrace", "switched off", mend: "sysctl kernel.ftrace_enabled=1")
        default:
            .ok("ftrace", "on")
        }
    }

    private var fuseCheck: Check {
        switch (fuseDevice, fuseKnown) {
        case (true, true):
            .ok("fuse", "/dev/fuse")
        case (true, false):
            .warn("fuse", "/dev/fuse, but the module is not loaded", mend: "modprobe fuse")
        default:
            .missing("fuse", "no /dev/fuse", mend: "modprobe fuse")
        }
    }

    private var isLoaded: Bool { module == .loaded || module == .deviceMissing }

    private var modulesCheck: Check {
        if !takesModules {
            return .missing(
                "modules", "this kernel takes no modules (CONFIG_MODULES is off)",
                mend: "boot a Debian kernel, or use a VM")
        }
        guard modulesDisabled else { return .ok("modules", "can be loaded") }
        return isLoaded
            ? .warn(
                "modules", "loading is switched off until the next boot",
                mend: "nothing to do: shortfuse is loaded")
            : .missing(
                "modules", "loading is switched off until the next boot",
                mend: "reboot, and load shortfuse before kernel.modules_disabled is set")
    }

    private var moduleCheck: Check {
        if let moduleVersion, !moduleVersion.isEmpty, moduleVersion != Shortfuse.version {
            let both = "version \(moduleVersion), and this is shortfuse \(Shortfuse.version)"
            return isLoaded
                ? .warn(
                    "module", "loaded in \(both)",
                    mend: "install the same versions of shortfuse and shortfuse-dkms, unmount, "
                        + "then: rmmod shortfuse && modprobe shortfuse")
                : .warn(
                    "module", "installed in \(both)",
                    mend: "install the same versions of shortfuse and shortfuse-dkms")
        }
        switch module {
        case .loaded:
            return .ok("module", "loaded, \(KernelModule.device)")
        case .deviceMissing:
            return .missing(
                "module", "loaded, but no \(KernelModule.device)", mend: "mount devtmpfs at /dev")
        case .found(let path, _):
            return .ok("module", "\(path), not loaded yet; shortfuse mount does that")
        case .notFound:
            return .missing(
                "module", "not installed for \(release)",
                mend: takesModules
                    ? "install shortfuse-dkms, or build and load it: \(Self.buildModule)"
                    : "see \"modules\"")
        }
    }

    /// Lockdown, Secure Boot, a boot parameter: each of them wants a signature.
    private var signatureCheck: Check {
        let lockedDown = lockdown == "integrity" || lockdown == "confidentiality"
        let demand = lockedDown || signaturesEnforced
        let state =
            "lockdown \(lockdown ?? "unknown"), Secure Boot \(secureBoot ? "on" : "off")"
            + (signaturesEnforced ? ", signatures enforced" : "")
        if lockdown == "confidentiality" {
            return .missing(
                "signature", "\(state): BPF may not read the kernel",
                mend: "boot with lockdown=integrity")
        }
        switch module {
        case .loaded, .deviceMissing:
            return .ok("signature", "\(state); the module was let in")
        case .found(_, let signer) where !signer.isEmpty:
            return demand
                ? .warn(
                    "signature", "\(state); signed by \(signer)",
                    mend: "if its key is not enrolled (mokutil --list-enrolled): "
                        + "\(KernelModule.enroll), and reboot")
                : .ok("signature", "\(state); signed by \(signer)")
        default:
            return demand
                ? .missing(
                    "signature", "\(state), and the module is not signed",
                    mend: KernelModule.signIt)
                : .ok("signature", "\(state): none needed")
        }
    }

    /// What only building the module needs is missing only while there is no module.
    private func buildCheck(_ name: String, _ found: String, mend: String) -> Check {
        module == .notFound && takesModules
            ? .missing(name, found, mend: mend)
            : .warn(name, found, mend: "only building the module needs it: \(mend)")
    }

    private var headersCheck: Check {
        kernelHeaders
            ? .ok("headers", "/lib/modules/\(release)/build")
            : buildCheck(
                "headers", "none for \(release)", mend: "apt-get install linux-headers-\(release)")
    }

    private var compilerCheck: Check {
        missingTools.isEmpty
            ? .ok("compiler", "gcc and make")
            : buildCheck(
                "compiler", "no \(missingTools.joined(separator: " and no "))",
                mend: "apt-get install \(missingTools.joined(separator: " "))")
    }

    private var bpftoolCheck: Check {
        bpftool
            ? .ok("bpftool", "there, to look into the maps")
            : .warn(
                "bpftool", "not there; only needed to look into the maps",
                mend: "apt-get install bpftool")
    }
}
