import CShortfuseABI
import Glibc

/// Attribute slots: written through mmap under the slot's sequence lock, no system call.
extension KernelCache {
    /// Runs `body` with the slot of `nodeid` locked: programs pass, other writers wait.
    private func withSlot<R>(
        of nodeid: UInt64,
        _ body: (_ slot: UnsafeMutablePointer<sf_attr_slot>, _ tag: UInt64) -> R
    ) -> R {
        let slot = slot(of: nodeid)
        sf_seq_lock(&slot.pointee.seq)
        defer { sf_seq_unlock(&slot.pointee.seq) }
        return body(slot, sf_tag_of(nodeid, slotBits))
    }

    func slot(of nodeid: UInt64) -> UnsafeMutablePointer<sf_attr_slot> {
        slots + Int(truncatingIfNeeded: nodeid & slotMask)
    }

    private var slotMask: UInt64 { (1 << UInt64(slotBits)) &- 1 }

    /// A count to be booked before it can overflow; programs stop at 2^32 - 1.
    private static let highCount: UInt64 = 1 << 31

    func publishAttributes(
        nodeid: UInt64, attributes: stat, versions: Versions, in epoch: UInt64
    ) {
        guard epoch == self.epoch else {
            revokeAttributes(nodeid: nodeid)
            return
        }
        withSlot(of: nodeid) { slot, tag in
            let grant = sf_slot_grant(slot)
            var kept = versions.published
            // What a program recorded at RELEASE is newer than what the daemon knows.
            if kept != 0, grant >> 32 == tag, sf_slot_kept(slot) == versions.version {
                kept = versions.version
            }
            if grant >> 32 != tag || grant & SF_GRANT_COUNT >= Self.highCount {
                // The slot goes to another node, or the count is high. Booked before the lock is
                // released, because a FORGET of that node also takes this lock, and must not miss
                // them.
                let old = sf_slot_exchange_grant(slot, tag)
                let lookups = old & SF_GRANT_COUNT
                if lookups > 0 { ledger(owner(of: old, slot: nodeid), lookups) }
            }
            let before = slot.pointee.nodeid
            if before != 0, before != nodeid { gauges?.count(.attrsEvictions) }
            // What a program recorded since is valid while the attributes are the same.
            var told = versions.isOffered ? versions.told : Versions.never
            if told == 0, before == nodeid { told = sf_slot_told(slot) }
            withUnsafePointer(to: attributes) {
                sf_slot_write(
                    slot, nodeid, $0, versions.version, versions.xattrVersion, kept, told)
            }
        }
    }

    /// The nodeid for the tag of a grant, in the slot of `nodeid`.
    private func owner(of grant: UInt64, slot nodeid: UInt64) -> UInt64 {
        ((grant >> 32) &- 1) << UInt64(slotBits) | nodeid & slotMask
    }

    /// - Returns: when a program first returned these attributes to the kernel, as `Versions.told`;
    ///   nil if the slot has others by now, so that it is not known.
    @discardableResult
    func revokeAttributes(nodeid: UInt64) -> UInt32? {
        withSlot(of: nodeid) { slot, _ in
            guard slot.pointee.nodeid == nodeid else { return nil }
            sf_slot_clear(slot)
            return sf_slot_told(slot)
        }
    }

    /// True if a program has recorded that the kernel's own cache of `nodeid` has `version`.
    func isKept(nodeid: UInt64, version: UInt64) -> Bool {
        withSlot(of: nodeid) { slot, tag in
            sf_slot_grant(slot) >> 32 == tag && sf_slot_kept(slot) == version
        }
    }

    func harvest(nodeid: UInt64, retire: Bool) -> UInt64 {
        withSlot(of: nodeid) { slot, tag in
            guard sf_slot_grant(slot) >> 32 == tag else { return 0 }
            if retire { sf_slot_clear(slot) }
            return sf_slot_exchange_grant(slot, retire ? 0 : tag) & SF_GRANT_COUNT
        }
    }
}
