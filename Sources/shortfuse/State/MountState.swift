import FoundationEssentials
import Glibc

/// What a daemon tells the other commands about itself: `state.json` in its runtime directory.
struct MountState: Codable, Equatable, Sendable {
    var process: ProcessIdentity
    var source: Path
    var mountpoint: Path
    var accelerated: Bool
    /// Why not accelerated.
    var reason: String?
    /// Why the kernel's own caches are not in use; nil if they are.
    var kernelCacheReason: String?
    /// Where the maps are pinned, accelerated or not.
    var pins: String
    /// As given with -o, one by one.
    var options: [String]
    var version: String
    var started: String
    /// Nil until the kernel's first request.
    var connection: ConnectionState?
    /// Of somebody else's mount that `attach` answers for; nil of our own.
    var attached: AttachedState?
    /// The capabilities that the daemon has kept; nil of older versions.
    var capabilities: [String]?
    /// `st_dev` of the files there; nil until it is mounted.
    var device: dev_t?

    /// One flat object: what scripts want to read first, they find first.
    enum CodingKeys: String, CodingKey {
        case pid
        case startTime = "pid_start_time"
        case source, mountpoint, accelerated, reason, pins
        case kernelCacheReason = "kernel_cache_reason"
        case options, version, started, connection, device, attached
        case capabilities
    }

    init(
        process: ProcessIdentity = .current, source: Path, mountpoint: Path, pins: String,
        options: [String]
    ) {
        self.process = process
        self.source = source
        self.mountpoint = mountpoint
        accelerated = false
        reason = "still being mounted"
        kernelCacheReason = reason
        self.pins = pins
        self.options = options
        version = Shortfuse.version
        started = Self.timestamp(time(nil))
    }

    init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        process = ProcessIdentity(
            pid: try values.decode(Int32.self, forKey: .pid),
            startTime: try values.decode(UInt64.self, forKey: .startTime))
        source = try values.decode(Path.self, forKey: .source)
        mountpoint = try values.decode(Path.self, forKey: .mountpoint)
        accelerated = try values.decode(Bool.self, forKey: .accelerated)
        reason = try values.decodeIfPresent(String.self, forKey: .reason)
        kernelCacheReason = try values.decodeIfPresent(String.self, forKey: .kernelCacheReason)
        pins = try values.decode(String.self, forKey: .pins)
        options = try values.decode([String].self, forKey: .options)
        version = try values.decode(String.self, forKey: .version)
        started = try values.decode(String.self, forKey: .started)
        connection = try values.decodeIfPresent(ConnectionState.self, forKey: .connection)
        attached = try values.decodeIfPresent(AttachedState.self, forKey: .attached)
        device = try values.decodeIfPresent(dev_t.self, forKey: .device)
        capabilities = try values.decodeIfPresent([String].self, forKey: .capabilities)
    }

    func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(process.pid, forKey: .pid)
        try values.encode(process.startTime, forKey: .startTime)
        try values.encode(source, forKey: .source)
        try values.encode(mountpoint, forKey: .mountpoint)
        try values.encode(accelerated, forKey: .accelerated)
        try values.encodeIfPresent(reason, forKey: .reason)
        try values.encodeIfPresent(kernelCacheReason, forKey: .kernelCacheReason)
        try values.encode(pins, forKey: .pins)
        try values.encode(options, forKey: .options)
        try values.encode(version, forKey: .version)
        try values.encode(started, forKey: .started)
        try values.encodeIfPresent(connection, forKey: .connection)
        try values.encodeIfPresent(attached, forKey: .attached)
        try values.encodeIfPresent(device, forKey: .device)
        try values.encodeIfPresent(capabilities, forKey: .capabilities)
    }

    /// True if `mounts` has the mount, also below another one; not if it is still to be made.
    func isMounted(in mounts: [MountEntry]) -> Bool {
        mounts.contains { $0.mountpoint == mountpoint && $0.device == device }
    }

    /// ISO 8601, in UTC.
    static func timestamp(_ seconds: time_t) -> String {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let length = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// JSON as the commands print and store it.
enum JSON {
    /// - Parameter inOneLine: else spread over lines, for people to read.
    static func encode(
        _ value: some Encodable, inOneLine: Bool = false
    ) throws(Failure) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        if !inOneLine { encoder.outputFormatting.insert(.prettyPrinted) }
        do {
            return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
        } catch {
            throw Failure("cannot write JSON: \(error)")
        }
    }

    static func print(_ value: some Encodable) throws(Failure) {
        Swift.print(String(decoding: try encode(value), as: UTF8.self), terminator: "")
    }
}
