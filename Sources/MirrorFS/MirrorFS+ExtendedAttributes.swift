import FuseSession
import Glibc
import Syscall
import SystemPackage

extension MirrorFS {
    public func extendedAttribute(
        _ context: RequestContext, of id: NodeID, name: UnsafePointer<CChar>,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let node = try node(id)
        do throws(Errno) {
            return try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
                try Syscall.extendedAttribute(of: path, name, into: buffer)
            }
        } catch {
            throw readingFailed(error, of: name)
        }
    }

    public func extendedAttributeNames(
        _ context: RequestContext, of id: NodeID, into buffer: UnsafeMutableRawBufferPointer
    ) throws(Errno) -> Int {
        let node = try node(id)
        return try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
            try visibleNames(context, at: path, into: buffer)
        }
    }

    public func setExtendedAttribute(
        _ context: RequestContext, of id: NodeID, name: UnsafePointer<CChar>,
        to value: UnsafeRawBufferPointer, flags: Int32
    ) throws(Errno) {
        let node = try node(id)
        // The ctime changes, and with an access control list the mode.
        try change(node) { (_) throws(Errno) in
            try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
                try Syscall.setExtendedAttribute(of: path, name, to: value, flags: flags)
            }
            try listWasSet(context, node, name)
        }
    }

    public func removeExtendedAttribute(
        _ context: RequestContext, of id: NodeID, name: UnsafePointer<CChar>
    ) throws(Errno) {
        let node = try node(id)
        try change(node) { (_) throws(Errno) in
            try DescriptorPath(node.fd).withPointer { (path) throws(Errno) in
                try Syscall.removeExtendedAttribute(of: path, name)
            }
        }
    }
}
