import CShortfuseABI

/// Reads from BTF where fs/fuse keeps what the module uses (struct sf_layout). Does not rely on
/// version numbers, since distributions backport layouts.
struct FuseLayout {
    let btf: KernelBTF
    private(set) var layout = sf_layout()

    /// As in kmod/layout.c: no struct that the module uses is larger.
    private static let structMax = 4096

    init(btf: KernelBTF) {
        self.btf = btf
    }

    /// Notes where the field is.
    mutating func read(_ field: FieldTable.Field) throws(Difference) {
        let structs = field.structs
        guard let name = structs.first(where: { btf.structure($0) != nil }),
            let structure = btf.structure(name)
        else { throw Difference("no struct \(structs.joined(separator: " or "))") }
        guard !field.names.isEmpty else {
            layout[keyPath: field.place] = try whole(structure, name, field.shape)
            return
        }
        for memberName in field.names {
            guard let member = btf.member(of: structure, memberName) else { continue }
            layout[keyPath: field.place] = try place(
                member, "\(name).\(memberName)", field.shape)
            return
        }
        guard field.isOptional else {
            throw Difference("no \(name).\(field.names.joined(separator: " or "))")
        }
    }

    /// Throws if a struct does not begin with the member that the module expects.
    func check(_ beginning: FieldTable.Beginning) throws(Difference) {
        let outer = beginning.outer
        guard let structure = btf.structure(outer) else { throw Difference("no struct \(outer)") }
        guard let first = btf.member(of: structure, beginning.member), first.bit == 0,
            btf.name(of: first.type) == beginning.type
        else { throw Difference("struct \(outer) does not begin with \(beginning.type)") }
    }

    private func whole(
        _ structure: UInt32, _ name: String, _ shape: FieldTable.Shape
    ) throws(Difference) -> sf_field {
        guard let size = btf.size(of: structure) else { throw Difference("no size of \(name)") }
        if case .whole(let known?) = shape, size != known {
            throw Difference("struct \(name) has \(size) bytes, not \(known)")
        }
        return try field(at: 0, size, "struct \(name)")
    }

    private func place(
        _ member: KernelBTF.Member, _ name: String, _ shape: FieldTable.Shape
    ) throws(Difference) -> sf_field {
        if case .bit = shape { return try bit(member, name) }
        guard member.bits == 0, member.bit % 8 == 0 else {
            throw Difference(
                "\(name) is a bit field of width \(member.bits) at bit \(member.bit), not whole bytes"
            )
        }
        guard let size = btf.size(of: member.type) else { throw Difference("no size of \(name)") }
        if case .firstParameter(let known) = shape {
            let first = try function(member.type, name).parameters.first
            return sf_field(offset: 0, size: first == known ? UInt16(size) : 0)
        }
        try check(member.type, size, name, shape)
        return try field(at: Int(member.bit / 8), size, name)
    }

    private func check(
        _ type: UInt32, _ size: Int, _ name: String, _ shape: FieldTable.Shape
    ) throws(Difference) {
        let typeName = btf.name(of: type)
        switch shape {
        case .whole, .bit, .firstParameter:
            break
        case .number(let sizes):
            guard btf.isNumber(type) else {
                throw Difference("\(name) is \(typeName), not a number")
            }
            guard sizes.contains(size) else {
                let known = sizes.map(String.init).joined(separator: " or ")
                throw Difference("\(name) has \(size) bytes, not \(known)")
            }
        case .type(let known):
            guard known.contains(typeName) else {
                throw Difference("\(name) is \(typeName), not \(known.joined(separator: " or "))")
            }
        case .array(let element):
            guard let own = btf.element(of: type), btf.name(of: own) == element, size > 0 else {
                throw Difference("\(name) is \(typeName), not an array of \(element)")
            }
        case .function(let forms):
            let prototype = try function(type, name)
            let known = forms.map { KernelBTF.Prototype(returns: "void", parameters: $0) }
            guard !known.contains(prototype) else { break }
            let count = prototype.parameters.count
            let nearest = known.first { $0.parameters.count == count } ?? known.first
            throw Difference(nearest.map { prototype.difference(from: $0, name) } ?? name)
        }
    }

    private func function(
        _ type: UInt32, _ name: String
    ) throws(Difference) -> KernelBTF.Prototype {
        guard let prototype = btf.prototype(ofPointer: type) else {
            throw Difference("\(name) is \(btf.name(of: type)), not a pointer to a function")
        }
        return prototype
    }

    /// In struct sf_layout bits are counted, not bytes.
    private func bit(_ member: KernelBTF.Member, _ name: String) throws(Difference) -> sf_field {
        guard member.bits == 1 || (member.bits == 0 && btf.name(of: member.type) == "bool") else {
            throw Difference("\(name) is \(btf.name(of: member.type)), not a bit")
        }
        guard member.bit / 8 < Self.structMax, let offset = UInt16(exactly: member.bit) else {
            throw Difference("\(name) is behind the first \(Self.structMax) bytes")
        }
        return sf_field(offset: offset, size: 1)
    }

    private func field(
        at offset: Int, _ size: Int, _ name: String
    ) throws(Difference) -> sf_field {
        guard size <= Self.structMax, offset <= Self.structMax - size,
            let offset = UInt16(exactly: offset), let size = UInt16(exactly: size)
        else { throw Difference("\(name) is not within the first \(Self.structMax) bytes") }
        return sf_field(offset: offset, size: size)
    }
}
