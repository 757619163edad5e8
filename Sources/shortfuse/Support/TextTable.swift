/// Rows of a name and figures, for people: names to the left, figures to the right.
struct TextTable {
    /// Characters that a column has at least; it grows with what is in it.
    let nameWidth: Int
    let cellWidth: Int
    private var rows: [[String]] = []

    init(nameWidth: Int, cellWidth: Int) {
        self.nameWidth = nameWidth
        self.cellWidth = cellWidth
    }

    var isEmpty: Bool { rows.isEmpty }

    mutating func add(_ name: String, _ cells: [String]) {
        rows.append([name] + cells)
    }

    /// The rows, indented by two.
    var lines: [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            let longest = rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
            return max(longest + 1, column == 0 ? nameWidth : cellWidth)
        }
        return rows.map { row in
            zip(row, widths).enumerated().reduce("  ") { line, column in
                let (text, width) = column.element
                let gap = String(repeating: " ", count: width - text.count)
                return line + (column.offset == 0 ? text + gap : gap + text)
            }
        }
    }
}
