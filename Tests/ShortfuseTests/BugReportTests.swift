import Testing

@testable import shortfuse

@Suite struct BugReportTests {
    @Test(arguments: [
        ("a name 'a' in node 7 is old", "a name '…' in node 7 is old"),
        ("name 'x' in node 1' in node 2", "name '…' in node 2"),
        ("nothing", "nothing"), ("name 'open", "name 'open"),
    ])
    func namesAreLeftOut(line: String, masked: String) {
        #expect(BugReport.withoutName(line) == masked)
    }
}
