import FuseSession
import SystemPackage

/// What a `RemoteStore` asks of its server: the functions of `Store`, and its own side of leases.
public enum RemoteQuestion<ID: Hashable & Codable & Sendable>: Codable, Sendable {
    /// `Store.attributes`; the reply is `attributes`.
    case attributes(of: ID)
    /// `Store.find`; the reply is `found`.
    case find(FileName, in: ID)
    /// `Store.list`; the reply is `listed`.
    case list(ID)
    /// `Store.read`, of so many bytes; the reply is `data`.
    case read(ID, at: Int64, count: Int)
    /// `Store.target`; the reply is `data`.
    case target(of: ID)
    /// `Store.extendedAttribute`; the reply is `data`, or `nothing` if there is none.
    case extendedAttribute(String, of: ID)
    /// `Store.extendedAttributeNames`; the reply is `names`.
    case extendedAttributeNames(of: ID)
    /// `Store.apply` with anything but `Change.write`; the reply is `found`.
    case change(Change<ID>, by: Caller)
    /// `Change.write` of the message's data; the reply is `nothing`.
    case write(ID, at: Int64?, by: Caller)
    /// Asks for the lease to be extended, and makes the client known; the reply is `lease`.
    case extendLease
    /// `Store.forget`. There is no reply.
    case forget(ID, times: Int)
    /// All that the recall of this number concerns has been dropped. There is no reply.
    case dropped(Int)
}

/// What a server replies to a `RemoteQuestion`, and what it says by itself.
public enum RemoteReply<ID: Hashable & Codable & Sendable>: Codable, Sendable {
    case attributes(NodeAttributes)
    case found(Found<ID>?)
    case listed([Listed])
    case names([String])
    /// The message's data.
    case data
    case nothing
    /// An `Errno`.
    case failed(Int32)
    /// The lease lasts so many nanoseconds from when it was asked for.
    case lease(UInt64)
    /// No reply: this is about to change. The client drops it, and answers `dropped` with the number.
    case recall(Int, [Concern<ID>])
}

/// A question or a reply on its way.
public struct RemoteMessage<Body: Codable & Sendable>: Sendable {
    /// A reply has the number of its question. A question that has no reply, and a recall, have 0.
    public var number: UInt64
    public var body: Body
    /// What is read or written, which need not be encoded.
    public var data: [UInt8]

    public init(_ body: Body, number: UInt64 = 0, data: [UInt8] = []) {
        self.number = number
        self.body = body
        self.data = data
    }
}

/// A connection of a `RemoteStore` to its server, which delivers messages in order or ends.
public protocol RemoteConnection: AnyObject, Sendable {
    associatedtype ID: Hashable & Codable & Sendable

    /// Sends a message. Does not wait for the server: some are sent under a lock.
    func send(_ question: RemoteMessage<RemoteQuestion<ID>>)
    /// Waits for the next message, on a thread that does nothing else.
    /// - Returns: nil if the connection has ended.
    func receive() -> RemoteMessage<RemoteReply<ID>>?
}
