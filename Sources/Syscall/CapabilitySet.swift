/// Capabilities of a process, one bit each: capabilities(7).
public struct CapabilitySet: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    private init(bit: Int) { rawValue = 1 << UInt64(bit) }

    public static let chown = Self(bit: 0)
    public static let dacOverride = Self(bit: 1)
    public static let dacReadSearch = Self(bit: 2)
    public static let fowner = Self(bit: 3)
    public static let fsetid = Self(bit: 4)
    public static let setgid = Self(bit: 6)
    public static let setuid = Self(bit: 7)
    public static let linuxImmutable = Self(bit: 9)
    public static let sysPtrace = Self(bit: 19)
    public static let sysAdmin = Self(bit: 21)
    public static let sysNice = Self(bit: 23)
    public static let sysResource = Self(bit: 24)
    public static let mknod = Self(bit: 27)
    public static let setfcap = Self(bit: 31)

    /// By bit, as <linux/capability.h> has them, in lower case and without `CAP_`.
    private static let allNames = [
        "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid",
        "setpcap", "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw",
        "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace",
        "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time",
        "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
        "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
        "perfmon", "bpf", "checkpoint_restore",
    ]

    /// In order; those added after Linux 5.9 by number.
    public var names: [String] {
        (0..<UInt64.bitWidth).filter { contains(Self(bit: $0)) }.map {
            $0 < Self.allNames.count ? Self.allNames[$0] : "\($0)"
        }
    }
}
