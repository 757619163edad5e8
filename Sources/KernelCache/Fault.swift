#if FAULTS
    import CLibBPF
    import Glibc
    import Synchronization
    import SystemPackage

    /// Planted faults, one at a time, which a checker must find. Only in builds with -DFAULTS,
    /// which scripts/check-coherence makes separately; selected by the environment variable
    /// SHORTFUSE_FAULT.
    public enum Fault: String, CaseIterable, Sendable {
        // The script lists these lines: one each.
        case late = "late-invalidation"  // the maps forget some time after the reply
        case renameTarget = "rename-target"  // a rename leaves its target's name in the maps
        case parent  // a change of names leaves their directories' attributes in the maps
        case unlocked = "publish-unlocked"  // what a lock protected is published after it
        case generation  // LOOKUP's program does not look whether the name is still the same
        case grants  // FORGET is counted against the daemon's own lookups alone
        case version  // data that changed keeps its version, so that old blocks count as new
        case never = "no-invalidation"  // the maps never forget anything
        case silent = "no-notification"  // mount: the kernel's own caches are never told
        case lateNotice = "late-notification"  // mount: they are told after the change
        case attributes = "setattr-untold"  // mount: not of mode, owner, extended attributes
        case removal = "no-quarantine"  // mount: a link count read while a name goes is kept
        case unheld = "late-reply"  // mount: what the kernel keeps is not noted
        case namesBehind = "name-behind"  // mount: names changed behind it are not dropped
        case attributesBehind = "attributes-behind"  // mount: nor are attributes
        case namesOnce = "names-once"  // watch: after an overflow, listings bring old names back
        // kmod/fault.h makes these.
        case attachLate = "attach-late"  // attach: what a request changes is void only after it
        case attachForget = "attach-forget"  // attach: lookups that it never saw are told too
        case attachTarget = "attach-target"  // attach: what loses a name is not void
        case attachXattr = "attach-xattr"  // attach: extended attributes never are

        /// Not a fault: LOOKUP's program pauses as it does for `generation`, and checks.
        private static let pause = "pause"

        private static let name = getenv("SHORTFUSE_FAULT").map { String(cString: $0) } ?? ""

        static let current: Fault? = {
            if name.isEmpty || name == pause || name == hold { return nil }
            guard let fault = Fault(rawValue: name) else { fatalError("no fault '\(name)'") }
            return fault
        }()

        /// Tells LOOKUP's program what to do (bpf/fault.bpf.h), before it is loaded.
        static func plant(in object: OpaquePointer) throws(KernelCacheError) {
            var size = 0
            guard let map = bpf_object__find_map_by_name(object, ".rodata.faults"),
                let constants = bpf_map__initial_value(map, &size),
                size == MemoryLayout<UInt32>.size
            else { throw .openFailed(reason: "the BPF programs are built without faults") }
            let flags: UInt32 = current == .generation ? 3 : name == pause ? 1 : 0
            UnsafeMutableRawPointer(mutating: constants).storeBytes(of: flags, as: UInt32.self)
        }

        /// Some replies are delayed after the lock under which they were read has been released, so
        /// that what must not overtake them can.
        private static let holdsReplies =
            [.silent, .lateNotice, .attributes, .removal, .unheld, .attachLate].contains(current)
            || name == hold
        /// Not a fault: only replies are delayed.
        private static let hold = "hold"

        /// Answers are kept from the first one on: more of them are in progress when something
        /// changes.
        static let keepsAtOnce = holdsReplies && current != nil

        /// - Returns: true if the fault is that no notification is sent.
        static func isUntold(_ scope: ChangeScope) -> Bool {
            current == .silent || (current == .attributes && scope.contains(.xattrs))
        }

        /// True if the kernel is not notified of names that changed behind the mount.
        public static var keepsNamesBehind: Bool { current == .namesBehind }
        /// True if it is not notified of attributes that did.
        public static var keepsAttributesBehind: Bool { current == .attributesBehind }

        /// True if names are not dropped again once the listings under way have ended.
        public static var dropsNamesOnce: Bool { current == .namesOnce }

        /// Notifies now, or too late.
        static func notify(_ body: @escaping @Sendable () -> Void) {
            if current == .lateNotice { whenUnlocked(body) } else { body() }
        }

        // MARK: What a thread does between taking locks and letting go of one

        private struct Scope {
            var parents: Set<UInt64> = []
            var revokedNames = 0
            var unpublished: [@Sendable () -> Void] = []
        }
        private static let scopes = Mutex<[pthread_t: Scope]>([:])

        fileprivate static func isParent(_ nodeid: UInt64) -> Bool {
            scopes.withLock { $0[pthread_self()]?.parents.contains(nodeid) ?? false }
        }

        /// - Returns: how many names this scope has revoked.
        fileprivate static func countRevoke(ofNameIn parent: UInt64) -> Int {
            scopes.withLock { scopes in
                var scope = scopes[pthread_self()] ?? Scope()
                scope.parents.insert(parent)
                scope.revokedNames += 1
                scopes[pthread_self()] = scope
                return scope.revokedNames
            }
        }

        fileprivate static func whenUnlocked(_ publish: @escaping @Sendable () -> Void) {
            scopes.withLock { $0[pthread_self(), default: Scope()].unpublished.append(publish) }
        }

        /// This thread has released a lock.
        static func unlocked() {
            if holdsReplies, UInt8.random(in: 0..<3) == 0 {
                // That fault is searched for in the VM, where everything takes longer.
                usleep(.random(in: 30..<(current == .attachLate ? 20_000 : 300)))
            }
            let scope = scopes.withLock { $0.removeValue(forKey: pthread_self()) }
            guard let work = scope?.unpublished, !work.isEmpty else { return }
            usleep(20)
            for publish in work { publish() }
        }
    }

    /// The kernel cache as `Coherence` sees it, with a fault.
    struct FaultyCache: Sendable {
        let cache: KernelCache

        func publishName(
            parent: UInt64, name: UnsafePointer<CChar>, nodeid: UInt64, isKept: Bool,
            in epoch: UInt64
        ) {
            guard Fault.current == .unlocked else {
                return cache.publishName(
                    parent: parent, name: name, nodeid: nodeid, isKept: isKept, in: epoch)
            }
            let copy = Self.copy(name)
            Fault.whenUnlocked {
                cache.publishName(
                    parent: parent, name: copy, nodeid: nodeid, isKept: isKept, in: epoch)
            }
        }

        func revokeName(parent: UInt64, name: UnsafePointer<CChar>) {
            let count = Fault.countRevoke(ofNameIn: parent)
            switch Fault.current {
            case .never: return
            case .renameTarget where count == 2: return
            case .late:
                let copy = Self.copy(name)
                Later.shared.run { cache.revokeName(parent: parent, name: copy) }
            default: cache.revokeName(parent: parent, name: name)
            }
        }

        func publishAttributes(
            nodeid: UInt64, attributes: stat, versions: Versions, in epoch: UInt64
        ) {
            switch Fault.current {
            case .parent where Fault.isParent(nodeid): return
            case .unlocked:
                Fault.whenUnlocked {
                    cache.publishAttributes(
                        nodeid: nodeid, attributes: attributes, versions: versions, in: epoch)
                }
            default:
                cache.publishAttributes(
                    nodeid: nodeid, attributes: attributes, versions: versions, in: epoch)
            }
        }

        func freshVersion(after version: UInt64) -> UInt64 {
            let isFixed = Fault.current == .never || Fault.current == .version
            return isFixed && version != 0 ? version : cache.freshVersion(after: version)
        }

        func revokeAttributes(nodeid: UInt64) -> UInt32? {
            switch Fault.current {
            case .never: return nil
            case .parent where Fault.isParent(nodeid): return nil
            case .late:
                Later.shared.run { _ = cache.revokeAttributes(nodeid: nodeid) }
                return nil
            default: return cache.revokeAttributes(nodeid: nodeid)
            }
        }

        func harvest(nodeid: UInt64, retire: Bool) -> UInt64 {
            let lookups = cache.harvest(nodeid: nodeid, retire: retire)
            return Fault.current == .grants ? 0 : lookups
        }

        var fileMax: Int { cache.fileMax }
        var epoch: UInt64 { cache.epoch }
        func isValid(version: UInt64) -> Bool { cache.isValid(version: version) }
        func dropEverything() { cache.dropEverything() }
        func voidReaders() { cache.voidReaders() }
        func nextName(after key: inout [UInt8]) -> CacheSample? { cache.nextName(after: &key) }
        func compare(nodeid: UInt64, attributes: stat) -> Comparison? {
            cache.compare(nodeid: nodeid, attributes: attributes)
        }
        func compare(
            nodeid: UInt64, version: UInt64, index: UInt64, bytes: UnsafeRawBufferPointer
        ) -> Comparison? {
            cache.compare(nodeid: nodeid, version: version, index: index, bytes: bytes)
        }
        func compare(
            parent: UInt64, name: UnsafePointer<CChar>, nodeid: UInt64?
        ) -> Comparison? {
            cache.compare(parent: parent, name: name, nodeid: nodeid)
        }

        func isKept(nodeid: UInt64, version: UInt64) -> Bool {
            cache.isKept(nodeid: nodeid, version: version)
        }

        func publishData(
            nodeid: UInt64, version: UInt64, index: UInt64, bytes: UnsafeRawBufferPointer
        ) {
            cache.publishData(nodeid: nodeid, version: version, index: index, bytes: bytes)
        }

        func publishReply(
            nodeid: UInt64, xattrVersion: UInt32, question: CachedQuestion, reply: CachedReply
        ) {
            cache.publishReply(
                nodeid: nodeid, xattrVersion: xattrVersion, question: question, reply: reply)
        }

        func areStatisticsUsed(nodeid: UInt64) -> Bool {
            cache.areStatisticsUsed(nodeid: nodeid)
        }

        private static func copy(_ name: UnsafePointer<CChar>) -> [CChar] {
            Array(UnsafeBufferPointer(start: name, count: strlen(name) + 1))
        }
    }

    /// Runs work on a separate thread, after a fraction of a millisecond.
    private final class Later: Sendable {
        static let shared = Later()
        private let work = Mutex<[@Sendable () -> Void]>([])

        private init() {
            var thread = pthread_t()
            pthread_create(&thread, nil, { _ in Later.shared.loop() }, nil)
        }

        func run(_ body: @escaping @Sendable () -> Void) { work.withLock { $0.append(body) } }

        private func loop() -> Never {
            while true {
                usleep(200)
                let due = work.withLock { work in
                    defer { work = [] }
                    return work
                }
                for body in due { body() }
            }
        }
    }
#endif
