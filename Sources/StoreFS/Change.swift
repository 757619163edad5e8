import FuseSession
import Glibc

/// A change made through the mount, for `Store.apply`.
public enum Change<ID: Hashable & Sendable>: Sendable {
    /// Creates a node, owned by the caller. Fails with `EEXIST` if the name exists.
    case make(FileName, in: ID, NewNode, permissions: mode_t)
    /// Adds a name to a node that is not a directory. Fails with `EEXIST` if the name exists.
    case link(ID, as: FileName, in: ID)
    /// unlink(2), or rmdir(2) with `isDirectory`. Fails with `ENOENT` if the name does not exist, and with
    /// `ENOTEMPTY` for a directory that is not empty. A node without names stays until `Store.forget`.
    case remove(FileName, in: ID, isDirectory: Bool)
    /// renameat2(2): the name in the first directory becomes the other one under the second.
    case rename(FileName, in: ID, to: FileName, under: ID, RenameMode)
    /// chmod(2), chown(2), truncate(2) and utimensat(2): sets what is not nil. A file that grows is
    /// filled with zeros.
    case setAttributes(ID, AttributeChanges)
    /// Writes all bytes at an offset; nil: at the current end of the file (`O_APPEND`). A gap between
    /// the old end and the offset is filled with zeros.
    case write(ID, [UInt8], at: Int64?)
    /// setxattr(2); a nil value: removexattr(2).
    case setExtendedAttribute(ID, String, to: [UInt8]?, XattrMode)
}

/// What `Change.make` creates.
public enum NewNode: Sendable, Codable {
    /// An empty file or directory.
    case file, directory
    /// A symbolic link. Its target is bytes without NUL, in no particular encoding.
    case symlink(target: [UInt8])
    /// As `NodeAttributes.Kind.special`.
    case special(mode_t, dev_t)
}

/// How a rename treats the new name: the flags of renameat2(2).
public enum RenameMode: Sendable, Codable {
    /// Replaces the new name, under the rules of rename(2). Does nothing if both are names of one node.
    case replacing
    /// Fails with `EEXIST` if the new name exists.
    case keeping
    /// Exchanges the two names. Fails with `ENOENT` if one of them does not exist.
    case exchanging
}

/// Whether an extended attribute must exist before it is set: the flags of setxattr(2).
public enum XattrMode: Sendable, Codable {
    /// It may exist or not.
    case any
    /// Fails with `EEXIST` if it exists.
    case creating
    /// Fails with `ENODATA` if it does not exist.
    case replacing
}

/// What a change concerns.
public enum Concern<ID: Hashable & Sendable>: Sendable {
    /// The attributes of a node.
    case attributes(ID)
    /// The data of a file, and its attributes.
    case data(ID)
    /// A name that is added, removed, or moved to another node; the listing and the attributes of its
    /// directory.
    case name(FileName, in: ID)
    /// The extended attributes of a node, and its attributes.
    case extendedAttributes(ID)
}

// For stores that send changes elsewhere.
extension Change: Codable where ID: Codable {}
extension Concern: Codable where ID: Codable {}
