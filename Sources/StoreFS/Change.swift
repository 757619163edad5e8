import FuseSession
import Glibc

/// A change that somebody makes through the mount, for `Store.apply`.
public enum Change<ID: Hashable & Sendable>: Sendable {
    /// Makes a node, owned by the caller. Fails with `EEXIST` if there is one of this name.
    case make(FileName, in: ID, NewNode, permissions: mode_t)
    /// Makes a further name for a node, which is no directory. Fails with `EEXIST` if there is one.
    case link(ID, as: FileName, in: ID)
    /// unlink(2), or rmdir(2) with `isDirectory`. Fails with `ENOENT` if there is no such name, and with
    /// `ENOTEMPTY` for a directory that has names. A node without names stays until `Store.forget`.
    case remove(FileName, in: ID, isDirectory: Bool)
    /// renameat2(2): the name in the first directory becomes the other one under the second.
    case rename(FileName, in: ID, to: FileName, under: ID, RenameMode)
    /// chmod(2), chown(2), truncate(2) and utimensat(2): sets what is not nil. A file that grows has
    /// zeros in its new part.
    case setAttributes(ID, AttributeChanges)
    /// All of the bytes, at an offset in bytes; nil: at the end of the file, wherever that is
    /// (`O_APPEND`). What is between the old end and the offset becomes zeros.
    case write(ID, [UInt8], at: Int64?)
    /// setxattr(2); a nil value: removexattr(2).
    case setExtendedAttribute(ID, String, to: [UInt8]?, XattrMode)
}

/// What `Change.make` makes.
public enum NewNode: Sendable, Codable {
    /// An empty file, or an empty directory.
    case file, directory
    /// A symbolic link. Its target is bytes without NUL, in no particular encoding.
    case symlink(target: [UInt8])
    /// As `NodeAttributes.Kind.special`.
    case special(mode_t, dev_t)
}

/// What a rename does with the new name: the flags of renameat2(2).
public enum RenameMode: Sendable, Codable {
    /// What has the new name loses it, under the rules of rename(2). Nothing happens if both are names
    /// of one node.
    case replacing
    /// Fails with `EEXIST` if there is something of the new name.
    case keeping
    /// Both names exist, and change places. Fails with `ENOENT` if one of them does not.
    case exchanging
}

/// Whether an extended attribute must exist before it is set: the flags of setxattr(2).
public enum XattrMode: Sendable, Codable {
    /// It may exist or not.
    case any
    /// Fails with `EEXIST` if there is one.
    case creating
    /// Fails with `ENODATA` if there is none.
    case replacing
}

/// What a change concerns.
public enum Concern<ID: Hashable & Sendable>: Sendable {
    /// The attributes of a node.
    case attributes(ID)
    /// The data of a file, and its attributes.
    case data(ID)
    /// A name that is made, removed, or leads to another node from now on; the listing and the
    /// attributes of its directory.
    case name(FileName, in: ID)
    /// The extended attributes of a node, and its attributes.
    case extendedAttributes(ID)
}

// For stores that send them somewhere else.
extension Change: Codable where ID: Codable {}
extension Concern: Codable where ID: Codable {}
