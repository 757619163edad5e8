import CShortfuseABI
import Glibc

/// Blocks of file data: written through mmap under each block's sequence lock, no system call.
extension KernelCache {
    /// Bytes in a block.
    public static let blockSize = Int(SF_BLOCK.rawValue)

    /// Keeps the blocks that `bytes` covers; `bytes` begins at block `index`, and a partial block
    /// at its end is the end of the file.
    func publishData(
        nodeid: UInt64, version: UInt64, index: UInt64, bytes: UnsafeRawBufferPointer
    ) {
        guard dataSets > 0, var start = bytes.baseAddress else { return }
        var left = bytes.count
        var index = index
        while left > 0 {
            let size = min(left, Self.blockSize)
            let set = Int(sf_block_set_of(nodeid, index, dataSets)) * Int(SF_WAYS.rawValue)
            if let block = sf_block_victim(blocks + set, nodeid, index) {
                sf_seq_lock(&block.pointee.seq)
                let evicted = sf_block_write(block, nodeid, index, version, start, size)
                sf_seq_unlock(&block.pointee.seq)
                if evicted != 0 { gauges?.count(.dataEvictions) }
            }
            start += size
            left -= size
            index &+= 1
        }
    }
}
