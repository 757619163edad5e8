/// The attributes of one file that change by themselves alone.
public struct FileAttributes: Specification {
    public struct State: Hashable, Sendable {
        public var size: Int64
        public var mode: UInt32
        public var owner: UInt32

        public init(size: Int64, mode: UInt32, owner: UInt32) {
            self.size = size
            self.mode = mode
            self.owner = owner
        }
    }

    public enum Operation: Sendable {
        /// All at one moment.
        case status(State)
        case size(Int64)
        case mode(UInt32)
        case owner(UInt32)
        case truncated(to: Int64)
        case appended(Int64)
        case modeSet(UInt32)
        case ownerSet(UInt32)
    }

    public init() {}

    public func next(_ state: State, _ operation: Operation) -> State? {
        var next = state
        switch operation {
        case .status(let status): return status == state ? state : nil
        case .size(let size): return size == state.size ? state : nil
        case .mode(let mode): return mode == state.mode ? state : nil
        case .owner(let owner): return owner == state.owner ? state : nil
        case .truncated(let size): next.size = size
        case .appended(let count): next.size += count
        case .modeSet(let mode): next.mode = mode
        case .ownerSet(let owner): next.owner = owner
        }
        return next
    }

    public func isQuery(_ operation: Operation) -> Bool {
        switch operation {
        case .status, .size, .mode, .owner: true
        case .truncated, .appended, .modeSet, .ownerSet: false
        }
    }
}
