import CShortfuseABI
import FoundationEssentials
import Glibc

/// What a daemon tells the other commands about itself: `state.json` in its runtime directory.
package struct MountState: Codable, Equatable, Sendable {
    package var process: ProcessIdentity
    package var source: Path
    package var mountpoint: Path
    package var accelerated: Bool
    /// Why not accelerated.
    package var reason: String?
    /// Why the kernel's own caches are not in use; nil if they are.
    package var kernelCacheReason: String?
    /// Where the maps are pinned, accelerated or not.
    package var pins: String
    /// As given with -o, one by one.
    package var options: [String]
    package var version: String
    package var started: String
    /// Nil until the kernel's first request.
    package var connection: ConnectionState?
    /// Of somebody else's mount that `attach` answers for; nil of our own.
    package var attached: AttachedState?
    /// The capabilities that the daemon has kept; nil of older versions.
    package var capabilities: [String]?
    /// `st_dev` of the files there; nil until it is mounted.
    package var device: dev_t?

    /// One flat object: what scripts want to read first, they find first.
    package enum CodingKeys: String, CodingKey {
        case pid
        case startTime = "pid_start_time"
        case source, mountpoint, accelerated, reason, pins
        case kernelCacheReason = "kernel_cache_reason"
        case options, version, started, connection, device, attached
        case capabilities
    }

    package init(
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
        version = SHORTFUSE_VERSION
        started = Self.timestamp(time(nil))
    }

    package init(from decoder: any Decoder) throws {
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

    package func encode(to encoder: any Encoder) throws {
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
    package func isMounted(in mounts: [MountEntry]) -> Bool {
        mounts.contains { $0.mountpoint == mountpoint && $0.device == device }
    }

    /// ISO 8601, in UTC.
    package static func timestamp(_ seconds: time_t) -> String {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let length = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// What `status` says of a mount that is not ours.
package struct AttachedState: Codable, Equatable, Sendable {
    package var policy: String
    /// As mountinfo has it: "fuse.sshfs".
    package var type: String

    package init(policy: String, type: String) {
        self.policy = policy
        self.type = type
    }
}

/// JSON as the commands print and store it.
package enum JSON {
    /// - Parameter inOneLine: else spread over lines, for people to read.
    package static func encode(
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

    package static func print(_ value: some Encodable) throws(Failure) {
        Swift.print(String(decoding: try encode(value), as: UTF8.self), terminator: "")
    }
}
