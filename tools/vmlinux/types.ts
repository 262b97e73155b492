/** C types of the layout description as debugging information entries, each made once and on demand. */
import type { CType, EnumDef, StructDef } from "../build/layout/ctypes.ts";
import type { Field, Layout } from "../build/layout/layout.ts";
import { Die, flag, number, ref, signed, small, text, type Value } from "./dwarf.ts";

/** DW_ATE_*. */
const ENCODING = { bool: 2, signed: 5, char: 6, unsigned: 7, uchar: 8, void: 0 } as const;

export class TypeTable {
  private readonly bases = new Map<string, Die>();
  private readonly typedefs = new Map<string, Die>();
  private readonly structs = new Map<StructDef, Die>();
  private readonly enums = new Map<EnumDef, Die>();
  /** Derived types by what they are made of. */
  private readonly derived = new Map<string, Die>();
  private readonly numbers = new Map<Die | undefined, number>();

  constructor(
    private readonly layout: Layout,
    private readonly unit: Die,
  ) {}

  /** Every type that the description names, used or not. */
  addAll(): void {
    for (const def of this.layout.decls.structs.values()) this.struct(def);
    for (const def of this.layout.decls.enums.values()) this.enumeration(def);
    for (const name of this.layout.decls.typedefs.keys()) this.typedef(name);
  }

  /** undefined: void. */
  die(type: CType): Die | undefined {
    switch (type.kind) {
      case "base":
        return type.encoding === "void" ? undefined : this.base(type.name, type.size, type.encoding);
      case "typedef":
        return this.typedef(type.name);
      case "struct":
        return this.struct(type.def);
      case "enum":
        return this.enumeration(type.def);
      case "pointer":
        return this.pointer(this.die(type.to));
      case "array":
        return this.array(type);
      case "function": {
        const returns = this.die(type.returns);
        const params = type.params.map((it) => this.die(it.type));
        return this.derive("function", [returns, ...params], () => {
          const die = new Die("subroutine_type", { prototyped: flag, type: optional(returns) });
          for (const it of params) die.add(new Die("formal_parameter", { type: optional(it) }));
          return die;
        });
      }
    }
  }

  /** The struct, union or typedef of this name; undefined when the description has none. */
  named(name: string): Die | undefined {
    const def = this.layout.decls.structs.get(name);
    if (def) return this.struct(def);
    return this.layout.decls.typedefs.has(name) ? this.typedef(name) : undefined;
  }

  pointer(to: Die | undefined): Die {
    return this.derive(
      "pointer",
      [to],
      () => new Die("pointer_type", { byte_size: small(8), type: optional(to) }),
    );
  }

  base(name: string, size: number, encoding: keyof typeof ENCODING): Die {
    return this.make(
      this.bases,
      name,
      () =>
        new Die("base_type", {
          name: text(name),
          byte_size: small(size),
          encoding: small(ENCODING[encoding]),
        }),
    );
  }

  private make<K>(table: Map<K, Die>, key: K, create: () => Die): Die {
    const known = table.get(key);
    if (known) return known;
    const die = create();
    table.set(key, die);
    return this.unit.add(die);
  }

  private derive(kind: string, parts: readonly (Die | undefined)[], create: () => Die): Die {
    const id = (die: Die | undefined): number => {
      const known = this.numbers.get(die);
      if (known !== undefined) return known;
      this.numbers.set(die, this.numbers.size);
      return this.numbers.size - 1;
    };
    return this.make(this.derived, `${kind} ${parts.map(id)}`, create);
  }

  private array(type: Extract<CType, { kind: "array" }>): Die {
    // C's a[2][3] is one array type with two subranges.
    const dimensions: (number | null)[] = [];
    let of: CType = type;
    while (of.kind === "array") {
      dimensions.push(of.count === null ? null : this.layout.count(of.count));
      of = of.of;
    }
    const element = this.die(of);
    const index = this.base("long unsigned int", 8, "unsigned");
    return this.derive(`array ${dimensions.map((n) => n ?? "*")} of`, [element], () => {
      const die = new Die("array_type", { type: optional(element) });
      for (const n of dimensions) {
        // As gcc has it: neither a flexible array nor one of no elements has an upper bound.
        die.add(new Die("subrange_type", { type: ref(index), upper_bound: n ? number(n - 1) : undefined }));
      }
      return die;
    });
  }

  private typedef(name: string): Die {
    const known = this.typedefs.get(name);
    if (known) return known;
    const die = new Die("typedef", { name: text(name) });
    this.typedefs.set(name, die);
    const to = this.layout.decls.typedefs.get(name);
    if (to) die.set({ type: optional(this.die(to)) });
    return this.unit.add(die);
  }

  private struct(def: StructDef): Die {
    const known = this.structs.get(def);
    if (known) return known;
    // A struct that only a typedef names has that name in the description, but no tag.
    const tagged = this.layout.decls.structs.get(def.name) === def;
    const die = new Die(def.union ? "union_type" : "structure_type", {
      name: tagged ? text(def.name) : undefined,
    });
    // Known before its members are: a list_head points at itself.
    this.structs.set(def, die);
    this.unit.add(die);
    if (!def.members) {
      die.set({ declaration: flag });
      return die;
    }
    const { size, fields } = this.layout.structLayout(def);
    die.set({ byte_size: number(size) });
    for (const field of fields) die.add(this.member(field, def.union));
    return die;
  }

  private member(field: Field, inUnion: boolean): Die {
    const name = field.name ? text(field.name) : undefined;
    const type = optional(this.die(field.type));
    if (field.bit) {
      const first = number(field.offset * 8 + field.bit.shift);
      return new Die("member", { name, type, bit_size: small(field.bit.width), data_bit_offset: first });
    }
    const at = inUnion ? undefined : number(field.offset);
    return new Die("member", { name, type, data_member_location: at });
  }

  private enumeration(def: EnumDef): Die {
    return this.make(this.enums, def, () => {
      const values = (def.values ?? []).map(({ name }) => ({
        name,
        value: Number(this.layout.constant(name)),
      }));
      const negative = values.some(({ value }) => value < 0);
      const die = new Die("enumeration_type", {
        name: def.name ? text(def.name) : undefined,
        byte_size: small(4),
        type: ref(negative ? this.base("int", 4, "signed") : this.base("unsigned int", 4, "unsigned")),
        declaration: def.values ? undefined : flag,
      });
      for (const { name, value } of values)
        die.add(new Die("enumerator", { name: text(name), const_value: signed(value) }));
      return die;
    });
  }
}

export function optional(die: Die | undefined): Value | undefined {
  return die && ref(die);
}
