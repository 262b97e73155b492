/**
 * What the rules of --config erase: each is followed through the dump's memory by the types of the vmlinux,
 * as makedumpfile does it. A rule that leads nowhere (a NULL pointer, a symbol that this kernel lacks) is
 * told where the original tells it, and the next one is taken.
 */
import { AddressSpace, START_KERNEL_MAP } from "../dump/address-space.ts";
import type { ErasedRange } from "../dump/erased.ts";
import { DumpError, hex } from "../dump/error.ts";
import type { KernelDump } from "../dump/memory-source.ts";
import { cString } from "../dump/notes.ts";
import type { Shape } from "../dwarf/debug-info.ts";
import { type EraseRule, type Loop, type Path, type Section, VMLINUX } from "./config.ts";
import type { KernelTypes } from "./types.ts";

const POINTER_SIZE = 8;
/** BUFSIZE: the longest string behind a char *. */
const STRING_MAX = 1024;
const FILL = 0x58;

/** A variable or member, and where it lies. */
interface Place {
  name: string;
  /** Its own address. */
  address: bigint;
  /** What a pointer points at; the address itself of what is none. 0: NULL. */
  target: bigint;
  /** Bytes of one element of the type. */
  size: number;
  shape: Shape;
}

/** Bytes that a rule erases. */
interface Erasure {
  rule: EraseRule;
  address: bigint;
  size: number;
  pieces: { physical: number; length: number }[];
}

/** A rule that cannot be followed further; the message is empty where the original has none. */
class Unresolved extends Error {
  override name = "Unresolved";
}

/** Tells when a walk comes to a node again (Brent's way: one node of it is remembered, ever later ones). */
class Circle {
  private remembered = -1n;
  private steps = 0;
  private limit = 1;

  closed(node: bigint): boolean {
    if (node === this.remembered) return true;
    if (++this.steps === this.limit) {
      this.remembered = node;
      this.limit *= 2;
    }
    return false;
  }
}

export class Eraser {
  /** By the physical address of their first byte: one for each. */
  private readonly erasures = new Map<number, Erasure>();
  private readonly space: AddressSpace;
  /** Members that were looked up, by the structure's entry and their name: lists ask for the same ones. */
  private readonly members = new Map<string, { offset: number; shape: Shape } | null>();

  constructor(
    dump: KernelDump,
    private readonly types: KernelTypes,
    private readonly say: (text: string) => Promise<void>,
  ) {
    this.space = new AddressSpace(dump);
  }

  /**
   * Follows the rules of a section. Modules' debugging information is not read: theirs are passed over, as
   * the original does where it finds none. Throws DumpError for a damaged vmlinux.
   */
  async follow({ module, commands }: Section): Promise<void> {
    if (module !== VMLINUX) {
      await this.attempt(async () => {
        if (!(await this.hasModule(module))) return;
        const first = `search_module_debuginfo: Can't get Module debuginfo for module '${module}'`;
        throw new Unresolved(`${first}\nprocess_config_file: Skipping to next Module section`);
      });
      return;
    }
    for (const command of commands) {
      await this.attempt(async () => {
        if ("list" in command) await this.loop(command);
        else await this.attempt(() => this.erase(command, null));
      });
    }
  }

  /** Whether a module of this name was loaded. */
  private async hasModule(name: string): Promise<boolean> {
    const path = (text: string): Path => ({ text, parts: text.split("."), line: 0 });
    const within = { structure: "module", member: path("list") };
    const list = { variable: "mod", line: 0, list: path("modules"), via: null, within, rules: [] };
    for await (const module of this.elements(list)) {
      const { address, size, shape } = await this.member(module, "name", 0);
      const bytes = await this.read(address, size * (shape.length ?? 0));
      if (bytes !== null && cString(bytes) === name) return true;
    }
    return false;
  }

  /** What to overwrite, in ascending order. */
  get ranges(): ErasedRange[] {
    return [...this.erasures.entries()]
      .sort(([a], [b]) => a - b)
      .flatMap(([, { rule, pieces }]) => pieces.map((piece) => ({ ...piece, byte: rule.nullify ? 0 : FILL })))
      .sort((a, b) => a.physical - b.physical);
  }

  /**
   * The dump's list of what was erased: a line for each erasure of which `written` (how many of these bytes
   * are in the dump) has any, the lines of a rule one after another.
   */
  eraseinfo(written: (physical: number, length: number) => number): string {
    return this.lines(({ pieces }) => pieces.reduce((sum, it) => sum + written(it.physical, it.length), 0));
  }

  /** Bytes of the list if the dump had everything. */
  get eraseinfoMax(): number {
    return this.lines(({ size }) => size).length;
  }

  private lines(sizeOf: (erasure: Erasure) => number): string {
    const lines = new Map<EraseRule, string>();
    for (const erasure of this.erasures.values()) {
      const { rule } = erasure;
      const size = sizeOf(erasure);
      const what = rule.nullify ? "nullify" : `size ${size}`;
      const before = lines.get(rule) ?? "";
      lines.set(rule, size === 0 ? before : `${before}erase ${rule.path.text} ${what}\n`);
    }
    return [...lines.values()].join("");
  }

  /** Says what could not be resolved, and goes on. */
  private async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Unresolved)) throw error;
      if (error.message !== "") await this.say(`${error.message}\n`);
    }
  }

  private async erase(rule: EraseRule, element: { variable: string; place: Place } | null): Promise<void> {
    const found = await this.resolve(rule.path, element);
    if (found === null) return;
    const { place } = found;
    const address = rule.nullify ? (place.shape.pointer ? place.address : 0n) : place.target;
    if (address === 0n) return;
    let size = place.size;
    if (rule.nullify) size = POINTER_SIZE;
    else if (typeof rule.size === "number") size = rule.size;
    else if (rule.size !== null) size = await this.sizeAt(rule.size, element);
    else if (place.shape.array) {
      size = (place.shape.length ?? 0) * (place.shape.pointer ? POINTER_SIZE : place.size);
    }
    if (size > 0) await this.add(rule, address, size);
  }

  /** Of two that begin at the same byte the longer one counts, and is told as the first. */
  private async add(rule: EraseRule, address: bigint, size: number): Promise<void> {
    const pieces = await this.pieces(rule.path, address, size);
    const start = pieces[0]!.physical;
    const known = this.erasures.get(start);
    if (known === undefined) this.erasures.set(start, { rule, address, size, pieces });
    else if (known.size < size) Object.assign(known, { size, pieces });
  }

  private async pieces(path: Path, address: bigint, size: number): Promise<Erasure["pieces"]> {
    const pieces: Erasure["pieces"] = [];
    for (let done = 0; done < size; ) {
      try {
        const { physical, contiguous } = await this.space.translate(address + BigInt(done));
        const length = Math.min(contiguous, size - done);
        const last = pieces.at(-1);
        if (last !== undefined && last.physical + last.length === physical) last.length += length;
        else pieces.push({ physical, length });
        done += length;
      } catch (error) {
        if (!(error instanceof DumpError)) throw error;
        const where = hex(address + BigInt(done)).slice(2);
        const what = `Can't convert a virtual address(${where}) of '${path.text}' to physical address.`;
        const failed = this.unresolved(path.line, what);
        if (done === 0) throw failed;
        // What is mapped of it goes.
        await this.say(`${failed.message}\n`);
        return pieces;
      }
    }
    return pieces;
  }

  /** The number at a place. */
  private async sizeAt(path: Path, element: { variable: string; place: Place } | null): Promise<number> {
    const found = await this.resolve(path, element);
    if (found === null) return 0;
    const { shape, size, target, name } = found.place;
    if (shape.array || !shape.base || size > 8) {
      throw this.unresolved(path.line, `size symbol/member '${name}' is not of base type.`);
    }
    if (![1, 2, 4, 8].includes(size)) return 0;
    const bytes = await this.read(target, size);
    if (bytes === null) throw new Unresolved("resolve_config_entry: Can't read symbol/member data value");
    let value = 0;
    for (const [n, byte] of bytes.entries()) value += byte * 2 ** (8 * n);
    // A negative number is a very large one here: no data has so many bytes.
    if (value >= 2 ** 31) throw this.unresolved(path.line, `'${path.text}' has the value ${value}.`);
    return value;
  }

  /** Null when a pointer on the way is NULL. Throws Unresolved. */
  private async resolve(
    path: Path,
    element: { variable: string; place: Place } | null,
  ): Promise<{ place: Place; parent: Place | null } | null> {
    const [first = "", ...members] = path.parts;
    let parent: Place | null = null;
    let place = element?.variable === first ? element.place : await this.symbol(first, path.line);
    for (const member of members) {
      if (place.target === 0n) return null;
      parent = place;
      place = await this.member(place, member, path.line);
    }
    return { place, parent };
  }

  private unresolved(line: number, what: string): Unresolved {
    return new Unresolved(`resolve_config_entry: Config error at ${line}: ${what}`);
  }

  private async symbol(name: string, line: number): Promise<Place> {
    const linked = this.types.symbols.get(name) ?? 0n;
    if (linked === 0n) throw this.unresolved(line, `Can't find symbol '${name}'.`);
    const variable = await this.types.debug.variable(name);
    if (variable === null) throw this.unresolved(line, `Can't find the type of symbol '${name}'.`);
    const address = linked >= START_KERNEL_MAP ? this.space.relocate(linked) : linked;
    return this.place(name, address, await this.types.debug.shape(variable));
  }

  private async member(structure: Place, name: string, line: number): Promise<Place> {
    const { shape } = structure;
    const found = shape.base ? null : await this.memberOf(shape, name);
    if (found === null) {
      const what = `struct '${shape.name ?? "(anonymous)"}' has no member with name '${name}'.`;
      throw this.unresolved(line, what);
    }
    const address = structure.target + BigInt(found.offset);
    return this.place(name, address, found.shape);
  }

  private async memberOf({ type }: Shape, name: string): Promise<{ offset: number; shape: Shape } | null> {
    const key = `${type.offset} ${name}`;
    let found = this.members.get(key);
    if (found === undefined) {
      const member = await this.types.debug.member(type, name);
      const { debug } = this.types;
      found = member === null ? null : { offset: member.offset, shape: await debug.shape(member.entry) };
      this.members.set(key, found);
    }
    return found;
  }

  private async place(name: string, address: bigint, shape: Shape): Promise<Place> {
    const size = shape.size ?? 0;
    if (!shape.pointer || shape.array) return { name, address, target: address, size, shape };
    const target = await this.pointer(address);
    // What a void * points at has no size.
    if (shape.name === "void") return { name, address, target, size: 0, shape };
    const text = shape.base && shape.name === "char";
    return { name, address, target, size: text ? await this.stringLength(target) : size, shape };
  }

  private async pointer(address: bigint): Promise<bigint> {
    const bytes = await this.read(address, POINTER_SIZE);
    if (bytes === null) {
      await this.say("read_pointer_value: Can't read pointer value\n");
      return 0n;
    }
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  }

  private async stringLength(address: bigint): Promise<number> {
    if (address === 0n) return 0;
    const bytes = await this.read(address, STRING_MAX);
    if (bytes === null) return 0;
    const end = bytes.indexOf(0);
    return end < 0 ? STRING_MAX : end;
  }

  /** Null when the dump does not have it. */
  private async read(address: bigint, length: number): Promise<Uint8Array | null> {
    try {
      return await this.space.read(address, length);
    } catch (error) {
      if (error instanceof DumpError) return null;
      throw error;
    }
  }

  private async loop(loop: Loop): Promise<void> {
    for await (const place of this.elements(loop)) {
      const element = { variable: loop.variable, place };
      for (const rule of loop.rules) await this.attempt(() => this.erase(rule, element));
    }
  }

  private async *elements(loop: Loop): AsyncGenerator<Place> {
    const found = await this.resolve(loop.list, null);
    if (found === null) return;
    const { place, parent } = found;
    const { shape } = place;
    if (shape.array) yield* this.ofArray(loop, place);
    else if (parent?.shape.name === "list_head" && !parent.shape.array) {
      // The member that leads on is named: next, or prev.
      yield* this.ofListHead(loop, parent, place.name);
    } else if (shape.name === "list_head") yield* this.ofListHead(loop, place, "next");
    else if (shape.structure) yield* this.ofStructures(loop, place);
    else throw this.unresolved(loop.line, `'${loop.list.text}' is no array, structure or list_head.`);
  }

  private async *ofArray(loop: Loop, array: Place): AsyncGenerator<Place> {
    if (loop.via !== null) {
      const what = "'via' keyword not required for ArrayVar.";
      await this.say(`resolve_list_entry: Warning: line ${loop.via.line}: ${what}\n`);
    }
    await this.warnWithin(loop);
    const shape = { ...array.shape, array: false };
    const step = shape.pointer ? POINTER_SIZE : array.size;
    for (let n = 0; n < (shape.length ?? 0); n++) {
      const place = await this.place(loop.variable, array.address + BigInt(n * step), shape);
      if (place.target !== 0n) yield place;
    }
  }

  private async *ofListHead(loop: Loop, head: Place, direction: string): AsyncGenerator<Place> {
    const refuse = (what: string, line = loop.line) =>
      new Unresolved(`initialize_iteration_entry: Config error at ${line}: ${what}`);
    if (loop.within === null) throw refuse("Use 'within' keyword to specify StructName:ListHeadMember.");
    const { structure, member } = loop.within;
    const { debug } = this.types;
    const type = await debug.structure(structure);
    if (type === null) throw refuse(`Can't find structure: ${structure}.`);
    const name = member?.text ?? "list";
    const line = member?.line ?? loop.line;
    const found = await debug.member(type, name);
    if (found === null) {
      throw this.unresolved(line, `struct '${structure}' has no member with name '${name}'.`);
    }
    if ((await debug.shape(found.entry)).name !== "list_head") {
      throw refuse(`Member '${name}' is not of 'list_head' type.`, line);
    }
    const size = (await debug.size(type)) ?? 0;
    const shape: Shape = {
      ...{ array: false, pointer: false, structure: true, base: false, length: null },
      ...{ name: structure, size, type },
    };
    const next = async (address: bigint): Promise<bigint> => {
      const node = { ...head, address, target: address };
      return (await this.member(node, direction, loop.list.line)).target;
    };
    const circle = new Circle();
    for (let node = await next(head.target); node !== head.target && node !== 0n; node = await next(node)) {
      if (circle.closed(node)) throw this.endless(loop);
      const address = BigInt.asUintN(64, node - BigInt(found.offset));
      yield { name: loop.variable, address, target: address, size, shape };
    }
  }

  private async *ofStructures(loop: Loop, first: Place): AsyncGenerator<Place> {
    await this.warnWithin(loop);
    const { via } = loop;
    const members = via?.parts ?? ["next"];
    const circle = new Circle();
    for (let place = first; place.target !== 0n; ) {
      if (circle.closed(place.target)) throw this.endless(loop);
      let next = place;
      for (const member of members) next = await this.member(next, member, via?.line ?? loop.line);
      yield place;
      // A list of one type, and no further than back to its start.
      if (next.shape.name !== first.shape.name || next.target === first.target) return;
      place = next;
    }
  }

  private endless({ line, list }: Loop): Unresolved {
    return this.unresolved(line, `'${list.text}' has no end: it leads in circles.`);
  }

  private async warnWithin(loop: Loop): Promise<void> {
    if (loop.within === null) return;
    const what = "'within' keyword not required for ArrayVar/StructVar.";
    await this.say(`initialize_iteration_entry: Warning: line ${loop.line}: ${what}\n`);
  }
}
