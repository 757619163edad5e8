import NIOCore
import NIOHTTP1

/// One connection: one request, its answer, and the end.
final class MetricsConnection: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias Collect = @Sendable (any EventLoop) -> EventLoopFuture<String>

    private let lifetime: TimeAmount
    private let collect: Collect
    private var deadline: Scheduled<Void>?
    private var request: HTTPRequestHead?
    private var isAnswering = false

    init(lifetime: TimeAmount, collect: @escaping Collect) {
        self.lifetime = lifetime
        self.collect = collect
    }

    func channelActive(context: ChannelHandlerContext) {
        let channel = context.channel
        // One for all: who sends a byte now and then gains nothing by it.
        deadline = context.eventLoop.scheduleTask(in: lifetime) { channel.close(promise: nil) }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isAnswering else { return }
        switch unwrapInboundIn(data) {
        case .head(let head): request = head
        case .body: break
        // Not before: a client that is still sending would not see the answer.
        case .end:
            guard let request else { return }
            isAnswering = true
            answer(request, on: context.channel)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent, !isAnswering {
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func answer(_ request: HTTPRequestHead, on channel: any Channel) {
        let response: EventLoopFuture<MetricsResponse>
        switch MetricsRoute(request) {
        case .metrics:
            response = collect(channel.eventLoop)
                .map { MetricsResponse(.ok, $0, type: PrometheusText.contentType) }
                .flatMapErrorThrowing { MetricsResponse(.internalServerError, "\($0)\n") }
        case .wrongMethod:
            response = channel.eventLoop.makeSucceededFuture(
                MetricsResponse(.methodNotAllowed, "only GET and HEAD\n", allow: "GET, HEAD"))
        case .unknown:
            response = channel.eventLoop.makeSucceededFuture(
                MetricsResponse(.notFound, "there is only /metrics\n"))
        }
        response.whenSuccess { $0.send(to: request, on: channel) }
    }
}

/// What a request is about.
private enum MetricsRoute {
    case metrics, wrongMethod, unknown

    init(_ request: HTTPRequestHead) {
        guard request.uri.prefix(while: { $0 != "?" }) == "/metrics" else {
            self = .unknown
            return
        }
        self = request.method == .GET || request.method == .HEAD ? .metrics : .wrongMethod
    }
}

private struct MetricsResponse: Sendable {
    private let status: HTTPResponseStatus
    private let body: String
    private var headers: HTTPHeaders

    init(
        _ status: HTTPResponseStatus, _ body: String, type: String = "text/plain; charset=utf-8",
        allow: String? = nil
    ) {
        self.status = status
        self.body = body
        headers = [
            "Content-Type": type, "Content-Length": String(body.utf8.count), "Connection": "close",
        ]
        if let allow { headers.add(name: "Allow", value: allow) }
    }

    /// Also ends the connection.
    func send(to request: HTTPRequestHead, on channel: any Channel) {
        let head = HTTPResponseHead(version: request.version, status: status, headers: headers)
        channel.write(HTTPServerResponsePart.head(head), promise: nil)
        if request.method != .HEAD {
            let buffer = channel.allocator.buffer(string: body)
            channel.write(HTTPServerResponsePart.body(.byteBuffer(buffer)), promise: nil)
        }
        channel.writeAndFlush(HTTPServerResponsePart.end(nil)).whenComplete { _ in
            channel.close(promise: nil)
        }
    }
}
