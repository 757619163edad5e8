/// Four names in two directories, places 0 and 1 in the first, 2 and 3 in the second: one object,
/// since a rename concerns two of them at once.
public struct Names: Specification {
    public enum Kind: Sendable {
        /// Names are of files, which have identities and may have several names.
        case files
        /// Names are of empty directories, all of them with the identity 1.
        case directories
    }

    /// The identity of what each place names; 0: nothing.
    public typealias State = SIMD4<UInt64>
    public typealias Place = Int
    public static let places = 0..<4

    public enum Operation: Sendable {
        /// What a place names; 0: nothing.
        case seen(Place, UInt64)
        /// The same and its link count, at one moment.
        case entry(Place, UInt64, links: UInt64)
        case exists(Place, Bool)
        /// The link count of a file, by whatever way.
        case links(UInt64, count: UInt64)
        /// The link count of a directory above the places: 0 or 1.
        case parentLinks(directory: Int, count: UInt64)
        /// The places of a directory that its listing has, as bits. See `expanded`.
        case listed(directory: Int, places: UInt8)

        case created(Place, UInt64)
        case removed(Place)
        case moved(Place, Place)
        case exchanged(Place, Place)
        case linked(UInt64, Place)
        /// An exchange that failed because one was missing.
        case notBoth(Place, Place)
        /// A link that failed because the file had no name any more.
        case linkedNothing(UInt64, Place)
    }

    public let kind: Kind

    public init(_ kind: Kind) {
        self.kind = kind
    }

    public static func directory(of place: Place) -> Int { place / 2 }

    public func next(_ state: State, _ operation: Operation) -> State? {
        func require(_ condition: Bool) -> State? { condition ? state : nil }
        var next = state
        switch operation {
        case .seen(let place, let id): return require(state[place] == id)
        case .entry(let place, let id, let links):
            return require(state[place] == id && Self.count(id, in: state) == links)
        case .exists(let place, let exists): return require((state[place] != 0) == exists)
        case .links(let id, let count): return require(Self.count(id, in: state) == count)
        case .parentLinks(let directory, let count):
            let present = Self.places.filter {
                Self.directory(of: $0) == directory && state[$0] != 0
            }
            return require(UInt64(present.count) + 2 == count)
        case .listed: return state
        case .notBoth(let one, let other): return require(state[one] == 0 || state[other] == 0)
        case .linkedNothing(let id, let place):
            return require(state[place] == 0 && Self.count(id, in: state) == 0)

        case .created(let place, let id):
            guard state[place] == 0, kind == .directories || Self.count(id, in: state) == 0 else {
                return nil
            }
            next[place] = id
        case .removed(let place):
            guard state[place] != 0 else { return nil }
            next[place] = 0
        case .moved(let from, let to):
            guard state[from] != 0 else { return nil }
            // rename(2): two names of one file both stay.
            if kind == .files, state[from] == state[to] { return state }
            next[to] = state[from]
            next[from] = 0
        case .exchanged(let one, let other):
            guard state[one] != 0, state[other] != 0 else { return nil }
            next[one] = state[other]
            next[other] = state[one]
        case .linked(let id, let place):
            guard state[place] == 0, Self.count(id, in: state) > 0 else { return nil }
            next[place] = id
        }
        return next
    }

    public func isQuery(_ operation: Operation) -> Bool { Self.changes(operation).isEmpty }

    private static func count(_ id: UInt64, in state: State) -> UInt64 {
        places.reduce(0) { $0 + (state[$1] == id ? 1 : 0) }
    }

    /// The places that `operation` changed, or may have.
    private static func changes(_ operation: Operation) -> [Place] {
        switch operation {
        case .seen, .entry, .exists, .links, .parentLinks, .listed, .notBoth, .linkedNothing: []
        case .created(let place, _), .removed(let place), .linked(_, let place): [place]
        case .moved(let one, let other), .exchanged(let one, let other): [one, other]
        }
    }

    /// Replaces each listing by what it says of single names. readdir(3) promises something only of
    /// names that nobody touched meanwhile, so nothing is said of the others.
    public static func expanded(_ calls: [Call<Operation>]) -> [Call<Operation>] {
        guard calls.contains(where: { isListing($0.operation) }) else { return calls }
        var result: [Call<Operation>] = []
        for call in calls {
            guard case .listed(let directory, let listed) = call.operation else {
                result.append(call)
                continue
            }
            for place in places where Self.directory(of: place) == directory {
                let isTouched = calls.contains { other in
                    changes(other.operation).contains(place) && call.overlaps(other)
                }
                if isTouched { continue }
                var part = call
                part.operation = .exists(place, listed >> place & 1 != 0)
                result.append(part)
            }
        }
        return result
    }

    /// Without what was seen to be missing while something else was moved to its name: where a name may
    /// be gone for that moment.
    public static func withoutGaps(_ calls: [Call<Operation>]) -> [Call<Operation>] {
        calls.filter { call in
            let missing: Place
            switch call.operation {
            case .seen(let place, 0), .exists(let place, false): missing = place
            default: return true
            }
            return !calls.contains { other in
                guard case .moved(_, missing) = other.operation else { return false }
                return call.overlaps(other)
            }
        }
    }

    private static func isListing(_ operation: Operation) -> Bool {
        if case .listed = operation { true } else { false }
    }
}
