import FuseSession
import Glibc
import KernelCache
import StoreFS
import Syscall
import SystemPackage

extension MirrorFS {
    public func extendedAttribute(
        _ context: RequestContext, of id: NodeID, name: UnsafePointer<CChar>,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let node = try node(id)
        let read = {
            (path: UnsafePointer<CChar>, buffer: UnsafeMutableRawBufferPointer)
                throws(Errno) -> Int in
            do throws(Errno) {
                return try Syscall.extendedAttribute(of: path, name, into: buffer)
            } catch {
                throw self.readingFailed(error, of: name)
            }
        }
        try? publishAnswer(node, .extendedAttribute(name), XattrName(name).keeps, read)
        let answer = { () throws(Errno) in
            try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
                try read(path, buffer)
            }
        }
        guard coherence.usesNativeCaches, isAccessControlList(name) else { return try answer() }
        // The kernel also keeps lists.
        return try coherence.reading(node: node.lockKey) { (hold) throws(Errno) in
            hold.hold(&node.versions)
            defer { hold.endUnlocked(nodeid: id) }
            return try answer()
        }
    }

    public func extendedAttributeNames(
        _ context: RequestContext, of id: NodeID, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let node = try node(id)
        // Publishes the whole list, and only if every caller may see all of it.
        try? publishAnswer(node, .extendedAttributeNames, XattrName.keepsList) {
            (path, buffer) throws(Errno) in
            try Syscall.extendedAttributeNames(of: path, into: buffer)
        }
        return try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
            try visibleNames(context, at: path, into: buffer)
        }
    }

    /// Publishes the result of `body`, even an error, if it is short and `keeps` says that only the
    /// daemon can change it.
    private func publishAnswer(
        _ node: Node, _ question: CachedQuestion,
        _ keeps: (Result<UnsafeRawBufferPointer, Errno>) -> Bool,
        _ body: (
            UnsafePointer<CChar>, UnsafeMutableRawBufferPointer
        ) throws(Errno) -> Int
    ) throws(Errno) {
        try publishReply(of: node, question) {
            withUnsafeTemporaryAllocation(byteCount: CachedReply.maxSize, alignment: 8) {
                (bytes) -> CachedReply? in
                do throws(Errno) {
                    let count = try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
                        try body(path, bytes)
                    }
                    let found = UnsafeRawBufferPointer(rebasing: bytes[..<count])
                    return keeps(.success(found)) ? CachedReply(found) : nil
                } catch {
                    // Other errors may be temporary, and ERANGE means that it is not short.
                    guard error == .noData || error == .notSupported, keeps(.failure(error)) else {
                        return nil
                    }
                    return CachedReply(error)
                }
            }
        }
    }

    public func setExtendedAttribute(
        _ context: RequestContext, of id: NodeID, name: UnsafePointer<CChar>,
        to value: UnsafeRawBufferPointer, flags: Int32
    ) throws(Errno) {
        let node = try node(id)
        // The ctime changes, and with an access control list the mode.
        try change(node, .xattrs) { () throws(Errno) in
            try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
                try ownership.withinLimits(context) { () throws(Errno) in
                    try Syscall.setExtendedAttribute(of: path, name, to: value, flags: flags)
                }
            }
            try listWasSet(context, node, name)
        }
    }

    public func removeExtendedAttribute(
        _ context: RequestContext, of id: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) {
        let node = try node(id)
        try change(node, .xattrs) { () throws(Errno) in
            try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
                try Syscall.removeExtendedAttribute(of: path, name)
            }
        }
    }
}

/// Which extended attributes only the daemon changes, so that the kernel may answer for them.
/// Others change by themselves: file systems generate some (btrfs., ceph.), and integrity
/// measurement rewrites its own when a file is closed.
private struct XattrName {
    private let name: UnsafePointer<CChar>

    init(_ name: UnsafePointer<CChar>) {
        self.name = name
    }

    private static let namespaces = ["user.", "trusted.", "security.", "system.posix_acl_"]
    private static let alive = ["security.ima", "security.evm"]
    /// Any write removes it, without a separate change.
    private static let capability = "security.capability"

    func keeps(_ found: Result<UnsafeRawBufferPointer, Errno>) -> Bool {
        guard Self.namespaces.contains(where: { strncmp(name, $0, $0.utf8.count) == 0 }),
            !Self.alive.contains(where: { strcmp(name, $0) == 0 })
        else { return false }
        if case .success = found { return strcmp(name, Self.capability) != 0 }
        return true
    }

    static func keepsList(_ found: Result<UnsafeRawBufferPointer, Errno>) -> Bool {
        guard case .success(let names) = found else { return true }
        return !names.split(separator: 0).contains { name in
            (alive + [capability]).contains { name.elementsEqual($0.utf8) }
                // Not visible to every caller; the list of an unprivileged caller does not have
                // them.
                || name.starts(with: "trusted.".utf8)
        }
    }
}
