import FuseSession
import MirrorFS
import MountRegistry
import Syscall

/// The options of `mount -o`, checked before anything is touched. Texts are as in `Arguments`.
struct MountOptions: Equatable, Sendable {
    /// As given, one by one, escaped as paths in JSON are: for the state.
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
    private var isReadOnly = false
    private var hasNoAccessTimes = false
    private var hasNoDirectoryTimes = false
    private(set) var sourceChanges = SourceChanges.watch
    /// Cached entries compared with SOURCE each second; 0: none.
    private(set) var verify = 0
    /// The kernel may keep names, attributes and pages in its own caches.
    private(set) var kernelCache = true
    /// The kernel opens files by itself.
    private(set) var opensInKernel = false
    /// Milliseconds after a change in which it keeps no attributes.
    private(set) var settle = 512
    /// As the options of the command line with these names; nil if not given.
    private(set) var accelerate: Mount.Accelerate?
    private(set) var threads: Int?
    private(set) var cacheEntries: Int?
    private(set) var followsSymlinks = true
    /// A mount that is there is to be changed.
    private(set) var isRemount = false
    /// Words of `MountFlags`, in order.
    private(set) var flags: [String] = []
    /// Of `given` those that the daemon keeps to as long as it lives.
    private(set) var settings: [String] = []

    private enum Kind {
        case flag, setting
        /// For mount(8) and systemd, or in force in any case.
        case remark
    }

    /// - Parameters:
    ///   - arguments: the values of all -o, each a list with commas.
    ///   - isSloppy: unknown options are left out.
    init(parsing arguments: [String], isSloppy: Bool = false) throws(Failure) {
        let all = arguments.flatMap(Self.split)
        isRemount = all.contains("remount")
        for option in all {
            guard let kind = try add(option, isSloppy: isSloppy) else { continue }
            let text = RawText.escape(Arguments.bytes(option), inOneLine: false)
            given.append(text)
            switch kind {
            case .flag: flags.append(option)
            case .setting: settings.append(text)
            case .remark: break
            }
        }
        if forLibfuse.contains("allow_other"), forLibfuse.contains("allow_root") {
            throw Failure("-o allow_other,allow_root: they exclude each other; give one of them")
        }
        // The daemon acts as root: without this the kernel would let everybody do everything.
        forLibfuse.append("default_permissions")
    }

    /// Others than the user who mounts may enter.
    var admitsOthers: Bool { admitsOthers(as: "allow_other") || admitsOthers(as: "allow_root") }

    func admitsOthers(as option: String) -> Bool { forLibfuse.contains(option) }

    /// Of those that have the last word, the ones that fusermount3 takes from root only.
    var forRootAlone: [String] {
        var found = [("suid", "nosuid"), ("dev", "nodev")].compactMap { permits, forbids in
            forLibfuse.last { $0 == permits || $0 == forbids } == permits ? permits : nil
        }
        found += ["context", "fscontext", "defcontext", "rootcontext"].filter { key in
            forLibfuse.contains { $0.hasPrefix(key + "=") }
        }
        // By mount_setattr(2), once it is mounted.
        if !followsSymlinks { found.append("nosymfollow") }
        return found
    }

    /// As on a bind mount with the same options.
    var accessTimes: MirrorFS.AccessTimes {
        if isReadOnly || hasNoAccessTimes { return .none }
        return hasNoDirectoryTimes ? .notOfDirectories : .all
    }

    /// For the session that mounts `source`.
    func session(source: Path, threads: Int) -> Session.Options {
        var session = Session.Options()
        session.sourceName = sourceName.map(Arguments.bytes) ?? source.bytes
        session.subtype = Arguments.bytes(subtype)
        session.mountOptions = forLibfuse.map(Arguments.bytes)
        session.maxThreads = threads
        return session
    }

    /// - Returns: nil if it is to be left out.
    private mutating func add(_ given: String, isSloppy: Bool) throws(Failure) -> Kind? {
        let (key, value) = Self.parts(given)
        // For messages.
        let option = printable(Arguments.bytes(given))
        if MountFlags.isWord(key) {
            try require(option, value == nil, "takes no value")
            addFlag(key)
            return .flag
        }
        if try isRemark(key, value, option) { return .remark }
        switch key {
        case "allow_other", "allow_root":
            try require(option, value == nil, "takes no value")
            forLibfuse.append(key)
        case "acl", "noacl":
            try require(option, value == nil, "takes no value")
            accessControlLists = key == "acl"
        case "accelerate":
            accelerate = value.flatMap { Mount.Accelerate(rawValue: $0) }
            try require(
                option, accelerate != nil, "needs auto, require or off, as in accelerate=require")
        case "threads":
            threads = value.flatMap { Int($0) }
            try require(
                option, threads.map(Mount.isThreads) == true, "needs a number from 1 to 65536")
        case "cache_entries":
            cacheEntries = value.flatMap { Int($0) }
            try require(
                option, cacheEntries.map(Mount.isCacheEntries) == true,
                "needs a power of two from 64 to 16777216")
        case "fsname":
            try require(option, value?.isEmpty == false, "needs a text, as in fsname=data")
            sourceName = value
        case "subtype":
            try require(option, value?.isEmpty == false, "needs a text, as in subtype=data")
            subtype = value ?? ""
        case "max_read":
            let bytes = value.flatMap { UInt32($0) } ?? 0
            try require(option, bytes >= 4096, "needs a number of bytes from 4096 on")
            forLibfuse.append(given)
        case "cache_data":
            cacheData = try bytes(option, value, upTo: 1 << 40)
        case "cache_file_max":
            cacheFileMax = try bytes(option, value, upTo: 1 << 40)
        case "verify":
            verify = value.flatMap { Int($0) } ?? -1
            try require(
                option, (0...100_000).contains(verify),
                "needs a number of entries a second from 0 to 100000, as in verify=100")
        case "kernel_cache":
            try require(
                option, value == "auto" || value == "off",
                "needs auto or off, as in kernel_cache=off")
            kernelCache = value == "auto"
        case "opens":
            try require(
                option, value == "daemon" || value == "kernel",
                "needs daemon or kernel, as in opens=kernel")
            opensInKernel = value == "kernel"
        case "kernel_cache_settle":
            settle = value.flatMap { Int($0) } ?? -1
            try require(
                option, (0...60_000).contains(settle),
                "needs a number of milliseconds from 0 to 60000, as in kernel_cache_settle=500")
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
        default:
            if isSloppy { return nil }
            throw Failure(
                "-o \(option): unknown mount option; `shortfuse mount --help` lists the known ones")
        }
        return .setting
    }

    private mutating func addFlag(_ word: String) {
        switch word {
        case "ro", "rw":
            isReadOnly = word == "ro"
        case "noatime":
            hasNoAccessTimes = true
        case "atime":
            hasNoAccessTimes = false
            forLibfuse.removeAll { $0 == "noatime" }
            return
        case "diratime", "nodiratime":
            hasNoDirectoryTimes = word == "nodiratime"
            return
        case "symfollow", "nosymfollow":
            followsSymlinks = word == "symfollow"
            return
        case "relatime", "norelatime", "strictatime", "nostrictatime", "lazytime", "nolazytime":
            // By which rule times of access move, and when they are written, is the business of
            // SOURCE's own mount: the kernel keeps none for FUSE.
            return
        default:
            break
        }
        forLibfuse.append(word)
    }

    /// What other file systems take, too, and what changes nothing here, or only flags.
    private mutating func isRemark(
        _ key: String, _ value: String?, _ option: String
    ) throws(Failure) -> Bool {
        switch key {
        case "default_permissions", "defaults", "auto", "noauto", "nofail", "_netdev", "nouser",
            "nousers", "noowner", "nogroup", "iversion", "noiversion", "nomand", "silent", "loud",
            "remount":
            try require(option, value == nil, "takes no value")
        case "user", "users", "owner", "group":
            // As mount(8) has it: who may mount must not gain from it, unless later options say so.
            try require(option, value == nil || key == "user", "takes no value")
            let isAnybody = key == "user" || key == "users"
            for word in ["nosuid", "nodev"] + (isAnybody ? ["noexec"] : []) { addFlag(word) }
        case "fd", "rootmode", "user_id", "group_id", "blksize":
            // The kernel shows them, so mount(8) gives them again.
            return isRemount
        case "comment", "uhelper", "helper":
            break
        default:
            return key.hasPrefix("x-") || key.hasPrefix("X-")
        }
        return true
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
        // Not by characters: a mark that combines with a separator would hide it.
        let scalars = option.unicodeScalars
        guard let equals = scalars.firstIndex(of: "=") else { return (option, nil) }
        return (String(scalars[..<equals]), String(scalars[scalars.index(after: equals)...]))
    }

    /// Splits at commas; "\," is a comma of the value, as libfuse has it, and so is one in quotes around
    /// the value, as mount(8) has it.
    static func split(_ list: String) -> [String] {
        var options: [String] = []
        var current = String.UnicodeScalarView()
        var rest = list.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\\":
                if let next = rest.popFirst() { current.append(next) }
            case ",":
                options.append(String(current))
                current = String.UnicodeScalarView()
            case "\"" where current.last == "=" && isQuoted(rest):
                while let next = rest.popFirst(), next != "\"" { current.append(next) }
            default:
                current.append(scalar)
            }
        }
        options.append(String(current))
        return options.filter { !$0.isEmpty }
    }

    /// True if the value that `rest` begins with, after its first quote, ends with one.
    private static func isQuoted(_ rest: Substring.UnicodeScalarView) -> Bool {
        guard let end = rest.firstIndex(of: "\"") else { return false }
        let after = rest.index(after: end)
        return after == rest.endIndex || rest[after] == ","
    }

    /// `text` as a value of libfuse's -o.
    static func escape(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { result, scalar in
            if scalar == "," || scalar == "\\" { result.append("\\") }
            result.unicodeScalars.append(scalar)
        }
    }
}
