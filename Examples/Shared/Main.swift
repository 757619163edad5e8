import Glibc
import StoreFS
import SystemPackage

/// `shared serve SOCKET [LEASE-SECONDS]` holds a tree; `shared mount SOCKET MOUNTPOINT` mounts it. Two
/// mounts of one server are as exact as one.
@main
struct Main {
    static func main() {
        let arguments = CommandLine.arguments
        guard arguments.count >= 3 else {
            print("usage: shared serve SOCKET [LEASE-SECONDS] | shared mount SOCKET MOUNTPOINT")
            exit(64)
        }
        guard arguments[1] == "serve" else {
            var options = StoreMountOptions.fromEnvironment
            options.hasLease = true
            let path = arguments[2]
            StoreMount.serve(
                RemoteStore(root: 1) { Wire(server: path) }, at: arguments.dropFirst(3).first,
                options: options)
        }
        let lease = arguments.dropFirst(3).first.flatMap(Double.init) ?? 4
        do {
            try Server.serve(at: arguments[2], leaseSeconds: lease)
        } catch {
            print("\(arguments[2]): \(error)")
            exit(1)
        }
    }
}
