import FuseSession
import Glibc

/// A change that somebody makes through the mount, for `Store.apply`.
public enum Change<ID: Hashable & Sendable>: Sendable {
    /// Makes a node, owned by the caller. Fails with `EEXIST` if there is one of this name.
    case make(FileName, in: ID, NewNode, permissions: mode_t)
    /// Makes a further name for `node`.
    case link(ID, as: FileName, in: ID)
    /// unlink(2), or rmdir(2) with `isDirectory`.
    case remove(FileName, in: ID, isDirectory: Bool)
    /// renameat2(2): the name in the first directory becomes the other one under the second.
    case rename(FileName, in: ID, to: FileName, under: ID, RenameMode)
    case setAttributes(ID, AttributeChanges)
    /// All of `bytes`, at an offset; nil: at the end of the file, wherever that is (`O_APPEND`).
    case write(ID, [UInt8], at: Int64?)
    /// setxattr(2); a nil value: removexattr(2).
    case setExtendedAttribute(ID, String, to: [UInt8]?, XattrMode)
}

public enum NewNode: Sendable, Codable {
    case file, directory
    case symlink(target: [UInt8])
    /// As `NodeAttributes.Kind.special`.
    case special(mode_t, dev_t)
}

public enum RenameMode: Sendable, Codable {
    /// What has the new name loses it.
    case replacing
    /// Fails with `EEXIST` if there is something of the new name.
    case keeping
    /// Both names exist, and change places.
    case exchanging
}

public enum XattrMode: Sendable, Codable {
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
