import CLibBPF
import CShortfuseABI
import Glibc
import Synchronization
import SystemPackage

/// Names: two hash maps by length, written by system calls (about 2 µs each).
extension KernelCache {
    /// Runs `body` with the map and key of a name; nil for a name that no request can have.
    func withKey<R>(
        parent: UInt64, name: UnsafePointer<CChar>,
        _ body: (_ map: CInt, _ key: UnsafeRawPointer) -> R
    ) -> R? {
        let length = strlen(name)
        if length <= SF_SHORT_NAME.rawValue {
            var key = sf_name()
            key.parent = parent
            withUnsafeMutableBytes(of: &key.name) {
                $0.copyMemory(from: .init(start: name, count: length))
            }
            return body(object.maps.names, &key)
        }
        guard length < SF_LONG_NAME.rawValue else { return nil }
        var key = sf_long_name()
        key.parent = parent
        withUnsafeMutableBytes(of: &key.name) {
            $0.copyMemory(from: .init(start: name, count: length))
        }
        return body(object.maps.longNames, &key)
    }

    /// A name that does not fit only costs speed: its previous entry has been revoked.
    func publishName(
        parent: UInt64, name: UnsafePointer<CChar>, nodeid: UInt64, isKept: Bool = false,
        in epoch: UInt64
    ) {
        var value = sf_dentry()
        value.nodeid = nodeid
        value.generation = freshNumber()
        value.kept = isKept ? 1 : 0
        guard epoch == self.epoch else { return revokeName(parent: parent, name: name) }
        withKey(parent: parent, name: name) { map, key in
            if bpf_map_update_elem(map, key, &value, UInt64(BPF_ANY)) != 0 { delete(map, key) }
        }
    }

    func revokeName(parent: UInt64, name: UnsafePointer<CChar>) {
        withKey(parent: parent, name: name) { map, key in delete(map, key) }
    }

    /// Retries until it is deleted. EBUSY means that the bucket is contended on this processor,
    /// which is short.
    private func delete(_ map: CInt, _ key: UnsafeRawPointer) {
        for _ in 0..<1000 {
            if bpf_map_delete_elem(map, key) == 0 || errno == ENOENT { return }
            guard errno == EBUSY || errno == EINTR || errno == EAGAIN else { break }
            sched_yield()
        }
        abandon("a name could not be taken out of the maps: \(Errno(rawValue: errno))")
    }
}
