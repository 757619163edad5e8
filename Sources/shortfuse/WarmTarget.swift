import Glibc
import Syscall
import SystemPackage

/// A mount of shortfuse with something to warm.
struct WarmMount: Sendable {
    /// `st_dev` of its files.
    let device: dev_t
    let mountpoint: String
    /// Nil where only root may know.
    let state: MountState?
}

extension WarmMount {
    /// Nil if it is of another kind.
    init?(device: dev_t) throws(Failure) {
        var unknown: MountEntry?
        for entry in try MountTable.current() where entry.device == device {
            // By its state, because its type can be chosen; others than root cannot see that.
            let runtime = RuntimeDirectory(mountpoint: entry.mountpoint)
            if geteuid() == 0, let state = try runtime.state() {
                self.init(device: device, mountpoint: entry.mountpoint, state: state)
                return
            }
            if entry.type == "fuse.shortfuse" { unknown = entry }
        }
        guard let unknown else { return nil }
        self.init(device: device, mountpoint: unknown.mountpoint, state: nil)
    }
}

/// A PATH of `warm`.
struct WarmTarget: Sendable {
    /// As given: bytes, which need not be UTF-8.
    let path: [UInt8]
    /// Whether it is a symlink elsewhere that leads to the mount. One on the mount stands for itself.
    let follows: Bool
    let mount: WarmMount

    /// Opens it as an `O_PATH` descriptor.
    func open() throws(Errno) -> Descriptor {
        try Self.open(path, follows: follows)
    }

    private static func open(_ path: [UInt8], follows: Bool) throws(Errno) -> Descriptor {
        let name = path.map { CChar(bitPattern: $0) } + [0]
        let flags = Syscall.openPath | (follows ? 0 : O_NOFOLLOW)
        return Descriptor(owning: try Syscall.open(name, flags: flags))
    }
}

extension WarmTarget {
    /// - Parameter mounts: those found already; a new one is added.
    init(path: [UInt8], mounts: inout [dev_t: WarmMount]) throws(Failure) {
        for follows in [false, true] {
            let device: dev_t
            do {
                let file = try Self.open(path, follows: follows)
                device = try Syscall.status(file.fd).st_dev
            } catch {
                throw Failure("\(printable(path)): \(Self.describe(error))")
            }
            if mounts[device] == nil { mounts[device] = try WarmMount(device: device) }
            if let mount = mounts[device] {
                self.init(path: path, follows: follows, mount: mount)
                return
            }
        }
        throw Failure(
            "\(printable(path)): not on a shortfuse mount; give a path below a mount point "
                + "that `shortfuse status` lists")
    }

    private static func describe(_ error: Errno) -> String {
        switch error {
        case .noSuchFileOrDirectory: "does not exist; check the path"
        case .socketNotConnected, .connectionAbort:
            "its daemon is gone; `shortfuse status` lists the mounts, unmount the dead one"
        case .permissionDenied where geteuid() != 0:
            "\(error); run this as root, or mount with -o allow_other"
        default: "\(error); check the path"
        }
    }
}

/// The arguments of this process as they came: `CommandLine` has them with what is not UTF-8
/// replaced.
enum RawArguments {
    /// The bytes behind each of `arguments`, in which order they were given.
    static func matching(_ arguments: [String]) -> [[UInt8]] {
        let all = (1..<max(Int(CommandLine.argc), 1)).compactMap { index in
            CommandLine.unsafeArgv[index].map {
                UnsafeBufferPointer(start: $0, count: strlen($0)).map { UInt8(bitPattern: $0) }
            }
        }
        return match(arguments, among: all)
    }

    static func match(_ arguments: [String], among all: [[UInt8]]) -> [[UInt8]] {
        var rest = all[...]
        return arguments.map { argument in
            let bytes = Array(argument.utf8)
            // Not ==: two spellings of one character are equal to it.
            let place = rest.firstIndex {
                String(decoding: $0, as: UTF8.self).utf8.elementsEqual(bytes)
            }
            guard let place else { return bytes }
            rest = rest[(place + 1)...]
            return all[place]
        }
    }
}

/// Bytes of a path in one line: control characters, and bytes that are not UTF-8, as \xHH.
func printable(_ bytes: [UInt8]) -> String {
    func escaped(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { byte in
            let digits = String(byte, radix: 16)
            return "\\x" + (digits.count == 1 ? "0" : "") + digits
        }.joined()
    }
    if let text = String(validating: bytes, as: UTF8.self) {
        return text.unicodeScalars.map { scalar in
            scalar.properties.generalCategory == .control
                ? escaped(String(scalar).utf8) : String(scalar)
        }.joined()
    }
    return bytes.map { byte in
        (0x20..<0x7f).contains(byte) ? String(UnicodeScalar(byte)) : escaped([byte])
    }.joined()
}
