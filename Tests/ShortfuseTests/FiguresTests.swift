import Testing

@testable import shortfuse

@Suite struct FiguresTests {
    @Test(
        arguments: [
            (0, 0, "0"), (0.05, 1, "0.1"), (-0.04, 1, "0.0"), (-1.25, 1, "-1.3"),
            (99.96, 1, "100.0"), (2.5, 3, "2.500"), (.infinity, 1, "inf"),
        ] as [(Double, Int, String)])
    func fixed(value: Double, digits: Int, text: String) {
        #expect(Figures.fixed(value, digits) == text)
    }

    @Test(arguments: [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (8 << 20, "8.0 MiB"),
        (1 << 62, "4096.0 PiB"),
    ])
    func bytes(count: Int, text: String) {
        #expect(Figures.bytes(count) == text)
    }

    @Test(arguments: [
        (0, "0 ns"), (999, "999 ns"), (23_140, "23.1 µs"), (1_500_000, "1.5 ms"),
        (68_719_476_735, "68.7 s"),
    ])
    func duration(nanoseconds: Int, text: String) {
        #expect(Figures.duration(nanoseconds: nanoseconds) == text)
    }

    @Test func columnsGrowWithTheirFigures() {
        var table = TextTable(nameWidth: 4, cellWidth: 3)
        #expect(table.lines.isEmpty)
        table.add("a", ["1", "22"])
        table.add("bcdef", ["333", "4"])
        #expect(table.lines == ["  a        1 22", "  bcdef  333  4"])
    }
}
