import Glibc
import KernelCache
import Logging

/// Tries, for doctor, what a mount will need of the kernel.
enum KernelProbe {
    /// Loads the real programs, pins nothing, and lets go of them.
    static func programs() -> SystemFacts.Outcome {
        do {
            let cache = try KernelCache(
                options: .init(slots: 64, names: 64), logger: Logger(label: "doctor")
            ) { _, _ in }
            cache.close()
            return .works
        } catch {
            return .fails("\(error)")
        }
    }

    /// Looks for the types of this kernel's FUSE; whether they fit is told at attach.
    static func layout() -> SystemFacts.Outcome {
        for path in ["/sys/kernel/btf/fuse", "/sys/kernel/btf/vmlinux"] {
            if let btf = try? Files.read(path), names("fuse_args", btf) { return .works }
        }
        return .fails("no types of FUSE in /sys/kernel/btf")
    }

    /// True if the string section of `btf` (struct btf_header of <linux/btf.h>) has this string.
    private static func names(_ name: String, _ btf: [UInt8]) -> Bool {
        btf.withUnsafeBytes { btf in
            guard btf.count >= 24 else { return false }
            func word(_ offset: Int) -> Int {
                Int(btf.load(fromByteOffset: offset, as: UInt32.self))
            }
            let start = word(4) + word(16)
            let end = start + word(20)
            guard start < end, end <= btf.count, btf[end - 1] == 0,
                let base = btf.baseAddress?.assumingMemoryBound(to: CChar.self)
            else { return false }
            var offset = start
            while offset < end {
                if strcmp(base + offset, name) == 0 { return true }
                offset += strlen(base + offset) + 1
            }
            return false
        }
    }
}
