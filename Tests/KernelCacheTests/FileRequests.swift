import CShortfuseABI
import Glibc

@testable import KernelCache

extension KernelCache {
    /// READ as the hook has it answered: block by block. Nil if any block is passed on.
    func read(
        _ nodeid: UInt64, _ offset: UInt64, _ size: Int, betweenBlocks: () -> Void = {}
    ) throws -> [UInt8]? {
        var context = sf_read_ctx()
        context.head.nodeid = nodeid
        context.head.opcode = FUSE_READ.rawValue
        context.head.in_size = UInt32(MemoryLayout<fuse_read_in>.size)
        var bytes: [UInt8] = []
        while true {
            let at = offset &+ UInt64(bytes.count)
            let within = Int(at % UInt64(Self.blockSize))
            let part = min(size - bytes.count, Self.blockSize - within)
            var input = fuse_read_in()
            input.offset = at
            input.size = UInt32(part)
            withUnsafeMutableBytes(of: &context.head.in) {
                $0.storeBytes(of: input, as: fuse_read_in.self)
            }
            context.head.out_size = UInt32(part)
            let verdict = try withUnsafeMutableBytes(of: &context) {
                try run(opcode: FUSE_READ.rawValue, context: $0)
            }
            guard verdict == SF_ANSWER.rawValue else { return nil }
            let got = Int(context.head.out_size)
            withUnsafeBytes(of: &context.block) { bytes += $0[within..<(within + got)] }
            if got < part || bytes.count == size { return bytes }
            betweenBlocks()
        }
    }

    /// OPEN or OPENDIR.
    func open(
        _ nodeid: UInt64, flags: Int32 = 0o100000, opcode: fuse_opcode = FUSE_OPEN
    ) throws -> Outcome<fuse_open_out> {
        var input = fuse_open_in()
        input.flags = UInt32(bitPattern: flags)
        return try ask(
            opcode: opcode.rawValue, nodeid: nodeid,
            input: withUnsafeBytes(of: input) { Array($0) },
            reply: fuse_open_out.self)
    }

    /// RELEASE, RELEASEDIR or FLUSH. True if answered.
    func end(_ opcode: fuse_opcode, _ nodeid: UInt64, handle: UInt64) throws -> Bool {
        var input = [UInt8](repeating: 0, count: MemoryLayout<fuse_release_in>.size)
        input.withUnsafeMutableBytes { $0.storeBytes(of: handle, as: UInt64.self) }
        return try !ask(
            opcode: opcode.rawValue, nodeid: nodeid, input: input, reply: UInt8.self, outSize: 0
        ).isPass
    }

    /// GETXATTR, or LISTXATTR without a name; the reply's bytes, or the size with `size` 0.
    func xattr(_ nodeid: UInt64, _ name: String?, size: Int) throws -> Outcome<[UInt8]> {
        var input = fuse_getxattr_in()
        input.size = UInt32(size)
        return try askVariable(
            name == nil ? FUSE_LISTXATTR : FUSE_GETXATTR, nodeid,
            withUnsafeBytes(of: input) { Array($0) } + (name.map { Array($0.utf8) + [0] } ?? []),
            outSize: size == 0 ? MemoryLayout<fuse_getxattr_out>.size : size)
    }

    func readLink(_ nodeid: UInt64) throws -> Outcome<[UInt8]> {
        try askVariable(FUSE_READLINK, nodeid, [], outSize: 4095)
    }

    func statfs(_ nodeid: UInt64) throws -> Outcome<[UInt8]> {
        try askVariable(
            FUSE_STATFS, nodeid, [], outSize: MemoryLayout<fuse_statfs_out>.size)
    }

    /// A request whose reply may be shorter than asked for.
    func askVariable(
        _ opcode: fuse_opcode, _ nodeid: UInt64, _ input: [UInt8], outSize: Int
    ) throws -> Outcome<[UInt8]> {
        var context = sf_ctx()
        context.opcode = opcode.rawValue
        context.nodeid = nodeid
        context.in_size = UInt32(input.count)
        context.out_size = UInt32(outSize)
        withUnsafeMutableBytes(of: &context.in) { $0.copyBytes(from: input.prefix($0.count)) }
        let verdict = try withUnsafeMutableBytes(of: &context) {
            try run(opcode: opcode.rawValue, context: $0)
        }
        guard verdict == SF_ANSWER.rawValue else { return .pass }
        if context.error != 0 { return .failure(context.error) }
        let count = Int(context.out_size)
        return withUnsafeBytes(of: &context.out) { .answer(Array($0[..<min(count, $0.count)])) }
    }

    /// Publishes a regular file of `bytes` at `version`, data and all.
    func publishFile(
        _ nodeid: UInt64, _ bytes: [UInt8], at version: UInt64, skippingData: Bool = false
    ) {
        publishAttributes(
            nodeid: nodeid, attributes: file(size: bytes.count), versions: Versions(at: version),
            in: epoch)
        guard !skippingData else { return }
        bytes.withUnsafeBytes {
            publishData(nodeid: nodeid, version: version, index: 0, bytes: $0)
        }
    }
}

/// The attributes of a regular file.
func file(size: Int, mode: mode_t = S_IFREG | 0o644) -> stat {
    var status = stat()
    status.st_mode = mode
    status.st_size = size
    return status
}

/// Bytes that tell where they are, and in which file.
func pattern(_ seed: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ $0 >> 8 &* 17 &+ seed &* 7919) }
}
