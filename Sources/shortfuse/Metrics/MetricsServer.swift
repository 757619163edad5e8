import Glibc
import MountRegistry
import NIOCore
import NIOHTTP1
import NIOPosix

/// Serves /metrics over HTTP.
///
/// Whoever connects gets one answer, and is let go of after `lifetime` at the latest. No more than
/// `mostConnections` are served at a time; the others wait in the kernel until one is free.
final class MetricsServer {
    static let mostConnections = 16
    /// From the connection to its end: collecting takes a few seconds at most, and nobody else needs
    /// longer to send a line and to take some kilobytes.
    static let lifetime = TimeAmount.seconds(15)

    private let loop = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    /// Where figures are collected, so that the loop never waits for them.
    private let collecting = NIOThreadPool(numberOfThreads: 1)
    private let channel: any Channel

    /// - Throws: `Failure` if it cannot listen there.
    init(_ address: ListenAddress, collector: MetricsCollector) throws(Failure) {
        collecting.start()
        let collecting = collecting
        let bootstrap = ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 64)
            // The socket of one that has just ended is not in the way.
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // Or several could come in by one look.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ConnectionLimit(Self.mostConnections))
                }
            }
            // Who has sent the request may say so, and still wants the answer.
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: false)
                    try pipeline.addHandler(
                        MetricsConnection(lifetime: Self.lifetime) { loop in
                            let asked = ContinuousClock.now
                            return collecting.runIfActive(eventLoop: loop) {
                                try collector.text(asked: asked)
                            }
                        })
                }
            }
        do {
            channel = try bootstrap.bind(to: address.socket).wait()
        } catch {
            try? loop.syncShutdownGracefully()
            try? collecting.syncShutdownGracefully()
            throw Self.failure(address, error)
        }
    }

    /// Where it listens: with the port that the kernel chose, if none was wanted.
    var address: String {
        channel.localAddress.map(ListenAddress.text) ?? "?"
    }

    /// Ends all connections.
    func stop() {
        // First who hands results to the loop.
        try? collecting.syncShutdownGracefully()
        try? loop.syncShutdownGracefully()
    }

    private static func failure(_ address: ListenAddress, _ error: any Error) -> Failure {
        let place = "--listen \(ListenAddress.text(address.socket))"
        guard let error = error as? IOError else { return Failure("\(place): \(error)") }
        switch error.errnoCode {
        case EADDRINUSE:
            return Failure(
                "\(place): the port is in use; give another one, or end what has it "
                    + "(`ss --listening --tcp --processes` tells)")
        case EADDRNOTAVAIL, EAFNOSUPPORT:
            return Failure(
                "\(place): not an address of this machine; give one that it has (`ip address` lists "
                    + "them)")
        case EACCES, EPERM:
            return Failure("\(place): a port below 1024 is for root; give a higher one")
        default:
            return Failure("\(place): \(String(cString: strerror(error.errnoCode)))")
        }
    }
}

/// Lets no more than so many connections in at a time.
private final class ConnectionLimit: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias InboundOut = any Channel
    typealias OutboundIn = Never

    private let most: Int
    private var count = 0
    private var wantsMore = false

    init(_ most: Int) {
        self.most = most
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        count += 1
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        // Its loop is the only one.
        unwrapInboundIn(data).closeFuture.hop(to: context.eventLoop).whenComplete { _ in
            let (limit, context) = bound.value
            limit.connectionEnded(context)
        }
        context.fireChannelRead(data)
    }

    func read(context: ChannelHandlerContext) {
        if count < most {
            context.read()
        } else {
            wantsMore = true
        }
    }

    private func connectionEnded(_ context: ChannelHandlerContext) {
        count -= 1
        guard wantsMore else { return }
        wantsMore = false
        context.read()
    }
}
