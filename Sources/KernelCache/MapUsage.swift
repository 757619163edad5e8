import CLibBPF
import CShortfuseABI
import Glibc
import Synchronization
import SystemPackage

/// How full one of a mount's maps is.
public struct MapUsage: Sendable, Equatable {
    public let name: String
    /// In use, and the maximum.
    public let entries: Int
    public let capacity: Int
    /// The size of one entry: key and value, without the kernel's overhead.
    public let entryBytes: Int
    /// Counts entries that were replaced by others; nil where the kernel evicts and does not count.
    public let evictions: CacheGauges.Name?

    public var bytes: Int { entries * entryBytes }
    public var capacityBytes: Int { capacity * entryBytes }
}

extension KernelCache {
    /// How full the maps of any mount are, from its pins: a snapshot while the maps change.
    /// - Throws: `KernelCacheError.mapFailed`: not pinned there, or the caller is not root.
    public static func usage(pinDirectory: String) throws(KernelCacheError) -> [MapUsage] {
        var usages: [MapUsage] = []
        for map in CacheMap.all {
            usages.append(try map.usage(pinDirectory: pinDirectory))
        }
        return usages
    }
}

/// One map of cached entries, and how they are counted.
private struct CacheMap {
    enum Entries {
        /// An array for mmap whose values have a nodeid at this offset: 0 means empty.
        case slots(nodeidOffset: Int)
        /// A hash map's keys.
        case keys
    }

    let name: String
    let entries: Entries
    var evictions: CacheGauges.Name?

    static let all = [
        CacheMap(
            name: "attrs", entries: .slots(nodeidOffset: offset(of: \sf_attr_slot.nodeid)),
            evictions: .attrsEvictions),
        CacheMap(name: "names", entries: .keys),
        CacheMap(name: "long_names", entries: .keys),
        CacheMap(
            name: "data", entries: .slots(nodeidOffset: offset(of: \sf_block.nodeid)),
            evictions: .dataEvictions),
        CacheMap(name: "replies", entries: .keys),
    ]

    private static func offset<T>(of field: PartialKeyPath<T>) -> Int {
        // Every field of a C struct has one.
        MemoryLayout<T>.offset(of: field) ?? 0
    }

    func usage(pinDirectory: String) throws(KernelCacheError) -> MapUsage {
        let map = bpf_obj_get(pinDirectory + "/" + name)
        guard map >= 0 else { throw failure }
        defer { close(map) }
        var info = bpf_map_info()
        var size = UInt32(MemoryLayout<bpf_map_info>.size)
        guard bpf_obj_get_info_by_fd(map, &info, &size) == 0 else { throw failure }
        let capacity = Int(info.max_entries)
        let valueBytes = Int(info.value_size)
        switch entries {
        case .slots(let offset):
            // The kernel starts each value of an array at a multiple of 8.
            let stride = (valueBytes + 7) & ~7
            return MapUsage(
                name: name,
                entries: try countSlots(map, capacity: capacity, stride: stride, offset: offset),
                capacity: capacity, entryBytes: valueBytes, evictions: evictions)
        case .keys:
            let keyBytes = Int(info.key_size)
            return MapUsage(
                name: name,
                entries: try countKeys(map, keyBytes: keyBytes, valueBytes: valueBytes),
                capacity: capacity, entryBytes: keyBytes + valueBytes, evictions: evictions)
        }
    }

    private var failure: KernelCacheError {
        .mapFailed(map: name, Errno(rawValue: errno))
    }

    private func countSlots(
        _ map: CInt, capacity: Int, stride: Int, offset: Int
    ) throws(KernelCacheError) -> Int {
        let size = capacity * stride
        guard let memory = mmap(nil, size, PROT_READ, MAP_SHARED, map, 0), memory != MAP_FAILED
        else { throw failure }
        defer { munmap(memory, size) }
        return (0..<capacity).count { slot in
            (memory + slot * stride + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
                .pointee.load(ordering: .relaxed) != 0
        }
    }

    /// Counts in batches: many thousand keys per system call. This does not mark them as used, so
    /// it does not change which ones are evicted next.
    private func countKeys(
        _ map: CInt, keyBytes: Int, valueBytes: Int
    ) throws(KernelCacheError) -> Int {
        let batch = 4096
        let keys = UnsafeMutableRawPointer.allocate(byteCount: batch * keyBytes, alignment: 8)
        defer { keys.deallocate() }
        let values = UnsafeMutableRawPointer.allocate(byteCount: batch * valueBytes, alignment: 8)
        defer { values.deallocate() }
        // Where the last batch ended: opaque, at most as large as a key.
        var cursor = [UInt8](repeating: 0, count: max(keyBytes, 8))
        var total = 0
        var isFirst = true
        while true {
            var count = UInt32(batch)
            let result = cursor.withUnsafeMutableBytes { cursor in
                bpf_map_lookup_batch(
                    map, isFirst ? nil : cursor.baseAddress, cursor.baseAddress, keys, values,
                    &count, nil)
            }
            // ENOENT is returned with the last ones.
            guard result == 0 || errno == ENOENT else { throw failure }
            total += Int(count)
            if result != 0 { return total }
            isFirst = false
        }
    }
}
