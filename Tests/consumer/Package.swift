// swift-tools-version: 6.3
import PackageDescription

// As a package of somebody else has it: it sees the products of shortfuse, and nothing else.
let package = Package(
    name: "consumer",
    dependencies: [
        // The name stands for whatever folder the checkout is in.
        .package(name: "shortfuse", path: "../.."),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    ],
    targets: [
        .executableTarget(
            name: "consumer",
            dependencies: [
                .product(name: "StoreFS", package: "shortfuse"),
                .product(name: "SystemPackage", package: "swift-system"),
            ])
    ]
)
