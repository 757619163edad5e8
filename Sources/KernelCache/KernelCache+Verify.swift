import CLibBPF
import CShortfuseABI
import Glibc
import SystemPackage

/// A cached entry, or one that was cached when it was chosen.
public enum CacheSample: Sendable, Equatable {
    case attributes(nodeid: UInt64)
    /// A block of `KernelCache.blockSize` bytes.
    case data(nodeid: UInt64, index: UInt64)
    /// Bytes and a NUL.
    case name(parent: UInt64, name: [CChar])
}

extension CacheSample: CustomStringConvertible {
    public var description: String {
        switch self {
        case .attributes(let id): "attributes of node \(id)"
        case .data(let id, let index): "block \(index) of node \(id)"
        case .name(let parent, let name):
            "name '\(String(decoding: name.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self))' "
                + "in node \(parent)"
        }
    }
}

/// How a cached entry compares with the source.
public struct Comparison: Sendable, Equatable {
    public let isSame: Bool
    /// The version or generation of the entry: the same one twice is the same entry.
    let number: UInt64
}

/// What `verify` compares next: all nodes that the kernel knows, one after the other, and a name in
/// between.
package struct CacheSamples: Sendable {
    private var nodes: [UInt64] = []
    private var isName = false
    private var name: [UInt8] = []

    package init() {}

    /// - Parameter known: the nodeids of all nodes; called once for each pass over them.
    /// - Returns: nil if there is nothing of the kind whose turn it is.
    package mutating func next(
        in coherence: Coherence, _ known: () -> [UInt64]
    ) -> CacheSample? {
        isName.toggle()
        if isName { return coherence.nextName(after: &name) }
        if nodes.isEmpty { nodes = known() }
        guard let id = nodes.popLast() else { return nil }
        if Bool.random() { return .attributes(nodeid: id) }
        // Most files are small; 1 MiB has 256 blocks.
        return .data(nodeid: id, index: .random(in: 0..<(1 << UInt64.random(in: 0...8))))
    }
}

/// Reads entries as a program would: for `verify`. Called by holds.
extension KernelCache {
    /// The name after `key`, which becomes its key; nil at the end.
    func nextName(after key: inout [UInt8]) -> CacheSample? {
        var next = sf_name()
        let size = MemoryLayout<sf_name>.size
        let error = key.withUnsafeBytes {
            // Without a key the first one.
            bpf_map_get_next_key(
                object.maps.names, $0.count == size ? $0.baseAddress : nil, &next)
        }
        guard error == 0 else {
            key = []
            return nil
        }
        key = withUnsafeBytes(of: next) { Array($0) }
        let name = withUnsafeBytes(of: next.name) { bytes in
            bytes.prefix { $0 != 0 }.map { CChar(bitPattern: $0) } + [0]
        }
        return .name(parent: next.parent, name: name)
    }

    /// Compares the attributes in the maps with those of the source; nil if there are none.
    func compare(nodeid: UInt64, attributes: stat) -> Comparison? {
        let slot = slot(of: nodeid)
        sf_seq_lock(&slot.pointee.seq)
        defer { sf_seq_unlock(&slot.pointee.seq) }
        guard slot.pointee.nodeid == nodeid, isValid(version: slot.pointee.version) else {
            return nil
        }
        let isSame = withUnsafePointer(to: attributes) { sf_slot_is_same(slot, $0) != 0 }
        return Comparison(isSame: isSame, number: slot.pointee.version)
    }

    /// Compares a block in the maps with the source's bytes, as far as they go; nil if there is no
    /// valid one.
    func compare(
        nodeid: UInt64, version: UInt64, index: UInt64, bytes: UnsafeRawBufferPointer
    ) -> Comparison? {
        let set = blocks + Int(sf_block_set_of(nodeid, index, dataSets)) * Int(SF_WAYS.rawValue)
        for way in 0..<Int(SF_WAYS.rawValue) {
            let block = set + way
            sf_seq_lock(&block.pointee.seq)
            defer { sf_seq_unlock(&block.pointee.seq) }
            guard block.pointee.nodeid == nodeid, block.pointee.index == index,
                block.pointee.version == version
            else { continue }
            let isSame = withUnsafePointer(to: block.pointee.data) { data in
                bytes.baseAddress.map { memcmp(data, $0, bytes.count) == 0 } ?? true
            }
            return Comparison(isSame: isSame, number: version)
        }
        return nil
    }

    /// Compares a name in the maps with the source's: `nodeid` is its file's node; nil if the file
    /// has none, 0 if there is no file. Returns nil if no LOOKUP would be answered.
    func compare(
        parent: UInt64, name: UnsafePointer<CChar>, nodeid: UInt64?
    ) -> Comparison? {
        var dentry = sf_dentry()
        let found = withKey(parent: parent, name: name) { map, key in
            bpf_map_lookup_elem(map, key, &dentry) == 0
        }
        guard found == true, isValid(version: dentry.generation),
            dentry.nodeid == 0 || slot(of: dentry.nodeid).pointee.nodeid == dentry.nodeid
        else { return nil }
        return Comparison(isSame: nodeid == dentry.nodeid, number: dentry.generation)
    }
}
