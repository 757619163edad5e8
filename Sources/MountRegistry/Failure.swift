/// Why something cannot be done: one line that names the thing and the mend.
package struct Failure: Error, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
