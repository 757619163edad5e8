/// The requests of the FUSE protocol, as `enum fuse_opcode` in <linux/fuse.h> names and numbers them:
/// also those that the daemon never sees.
enum OpcodeNames {
    /// The size of every table that is indexed by opcode.
    static let count = 64

    static func name(_ opcode: Int) -> String {
        names.indices.contains(opcode) && !names[opcode].isEmpty
            ? names[opcode] : "OPCODE_\(opcode)"
    }

    /// Turns a table by opcode into one by name, without the zeros.
    static func byName(_ table: some Sequence<(Int, UInt64)>) -> [String: UInt64] {
        var result: [String: UInt64] = [:]
        for (opcode, value) in table where value != 0 {
            result[name(opcode)] = value
        }
        return result
    }

    private static let names = [
        "", "LOOKUP", "FORGET", "GETATTR", "SETATTR", "READLINK", "SYMLINK", "", "MKNOD", "MKDIR",
        "UNLINK", "RMDIR", "RENAME", "LINK", "OPEN", "READ", "WRITE", "STATFS", "RELEASE", "",
        "FSYNC", "SETXATTR", "GETXATTR", "LISTXATTR", "REMOVEXATTR", "FLUSH", "INIT", "OPENDIR",
        "READDIR", "RELEASEDIR", "FSYNCDIR", "GETLK", "SETLK", "SETLKW", "ACCESS", "CREATE",
        "INTERRUPT", "BMAP", "DESTROY", "IOCTL", "POLL", "NOTIFY_REPLY", "BATCH_FORGET",
        "FALLOCATE", "READDIRPLUS", "RENAME2", "LSEEK", "COPY_FILE_RANGE", "SETUPMAPPING",
        "REMOVEMAPPING", "SYNCFS", "TMPFILE", "STATX",
    ]
}
