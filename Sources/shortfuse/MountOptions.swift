import FuseSession
import MirrorFS

/// The options of `mount -o`, checked before anything is touched.
struct MountOptions: Equatable, Sendable {
    /// As given, one by one: for the state.
    private(set) var given: [String] = []
    /// For libfuse, values escaped.
    private(set) var forLibfuse: [String] = []
    private(set) var sourceName: String?
    private(set) var subtype = "shortfuse"
    /// Bytes of file data that the kernel keeps; 0: none.
    private(set) var cacheData = 64 << 20
    /// Bytes up to which a file's data is kept.
    private(set) var cacheFileMax = 1 << 20
    private(set) var accessControlLists = true
    private(set) var sourceChanges = SourceChanges.watch
    /// Cached entries compared with SOURCE each second; 0: none.
    private(set) var verify = 0

    /// - Parameter arguments: the values of all -o, each a list with commas.
    init(parsing arguments: [String]) throws(Failure) {
        for argument in arguments {
            for option in Self.split(argument) {
                given.append(option)
                try add(option)
            }
        }
        if forLibfuse.contains("allow_other"), forLibfuse.contains("allow_root") {
            throw Failure("-o allow_other,allow_root: they exclude each other; give one of them")
        }
        // The daemon acts as root: without this the kernel would let everybody do everything.
        forLibfuse.append("default_permissions")
    }

    /// For the session that mounts `source`.
    func session(source: String, threads: Int) -> Session.Options {
        var session = Session.Options()
        session.sourceName = sourceName ?? source
        session.subtype = subtype
        session.mountOptions = forLibfuse
        session.maxThreads = threads
        return session
    }

    private mutating func add(_ option: String) throws(Failure) {
        let (key, value) = Self.parts(option)
        switch key {
        case "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "sync", "async",
            "dirsync", "noatime", "allow_other", "allow_root":
            try require(option, value == nil, "takes no value")
            forLibfuse.append(key)
        case "acl", "noacl":
            try require(option, value == nil, "takes no value")
            accessControlLists = key == "acl"
        case "default_permissions", "defaults", "atime", "relatime", "norelatime", "strictatime",
            "nostrictatime", "diratime", "nodiratime", "auto", "noauto", "nofail", "_netdev":
            // In force in any case, or for mount(8) and systemd. The times of access are the
            // source's business: the kernel keeps none for FUSE.
            try require(option, value == nil, "takes no value")
        case "fsname":
            try require(option, value?.isEmpty == false, "needs a text, as in fsname=data")
            sourceName = value
        case "subtype":
            try require(option, value?.isEmpty == false, "needs a text, as in subtype=data")
            subtype = value ?? ""
        case "max_read":
            let bytes = value.flatMap { UInt32($0) } ?? 0
            try require(option, bytes >= 4096, "needs a number of bytes from 4096 on")
            forLibfuse.append(option)
        case "cache_data":
            cacheData = try bytes(option, value, upTo: 1 << 40)
        case "cache_file_max":
            cacheFileMax = try bytes(option, value, upTo: 1 << 40)
        case "verify":
            verify = value.flatMap { Int($0) } ?? -1
            try require(
                option, (0...100_000).contains(verify),
                "needs a number of entries a second from 0 to 100000, as in verify=100")
        case "source_changes":
            sourceChanges = try changes(option, value)
        case "context", "fscontext", "defcontext", "rootcontext":
            try require(option, value?.isEmpty == false, "needs an SELinux context")
            forLibfuse.append(key + "=" + Self.escape(value ?? ""))
        case "fd", "rootmode", "user_id", "group_id", "blkdev", "blksize":
            throw Failure("-o \(option): shortfuse sets this itself; leave it out")
        case "auto_unmount":
            throw Failure(
                "-o auto_unmount: not taken; leave it out: `shortfuse unmount` and the next "
                    + "`shortfuse mount` clean up after a killed daemon")
        case _ where key.hasPrefix("x-") || key.hasPrefix("comment"):
            break
        default:
            throw Failure(
                "-o \(option): unknown mount option; `shortfuse mount --help` lists the known ones")
        }
    }

    private func require(
        _ option: String, _ condition: Bool, _ what: String
    ) throws(Failure) {
        guard condition else { throw Failure("-o \(option): \(what)") }
    }

    /// A number of bytes, as in 4096, 512K, 64M or 1G.
    private func bytes(
        _ option: String, _ value: String?, upTo limit: Int
    ) throws(Failure) -> Int {
        let text = value ?? ""
        let shift = ["K": 10, "M": 20, "G": 30][text.last?.uppercased() ?? ""]
        let number = Int(shift == nil ? text : String(text.dropLast())) ?? -1
        let (bytes, overflow) = number.multipliedReportingOverflow(by: 1 << (shift ?? 0))
        try require(
            option, number >= 0 && !overflow && bytes <= limit,
            "needs a number of bytes up to 1024G, as in 65536 or 64M")
        return bytes
    }

    private func changes(_ option: String, _ value: String?) throws(Failure) -> SourceChanges {
        switch value {
        case "watch": return .watch
        case "none": return .none
        default: break
        }
        let (key, number) = Self.parts(value ?? "")
        let seconds = key == "ttl" ? number.flatMap { Double($0) } ?? -1 : -1
        try require(
            option, (0.001...1e6).contains(seconds),
            "needs watch, none, or ttl=SECONDS (from 0.001 on), as in source_changes=ttl=5")
        return .ttl(milliseconds: Int(seconds * 1000))
    }

    private static func parts(_ option: String) -> (key: String, value: String?) {
        guard let equals = option.firstIndex(of: "=") else { return (option, nil) }
        return (String(option[..<equals]), String(option[option.index(after: equals)...]))
    }

    /// Splits at commas; "\," is a comma of the value, as libfuse has it.
    static func split(_ list: String) -> [String] {
        var options: [String] = []
        var current = ""
        var escaped = false
        for character in list {
            if escaped {
                current.append(character)
                escaped = false
            } else if character == "\\" {
                escaped = true
            } else if character == "," {
                options.append(current)
                current = ""
            } else {
                current.append(character)
            }
        }
        options.append(current)
        return options.filter { !$0.isEmpty }
    }

    /// `text` as a value of libfuse's -o.
    static func escape(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            if character == "," || character == "\\" { result.append("\\") }
            result.append(character)
        }
    }
}
