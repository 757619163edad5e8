import Testing

@testable import StoreFS

@Suite struct ListingsWithNodesTests {
    @Test func whatIsInProgressOrHasJustEndedIsThere() {
        let listings = ListingsWithNodes()
        #expect(listings.directories.isEmpty)
        listings.begin(5)
        listings.begin(5)
        listings.end(5)
        #expect(listings.directories == [5])
        listings.end(5)
        #expect(listings.directories == [5])
    }

    @Test func whatIsInProgressIsNotPruned() {
        let listings = ListingsWithNodes()
        listings.begin(1)
        for directory in 2...1000 as ClosedRange<UInt64> {
            listings.begin(directory)
            listings.end(directory)
        }
        #expect(listings.directories.contains(1))
    }
}
