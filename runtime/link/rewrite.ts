/**
 * Function bodies with frame records. A record is {saved rbp, return address}, 16 bytes, on the kernel
 * stack in memory; the records of a call chain are contiguous, as frame pointers make them on x86_64. In a
 * framed function:
 *
 *     entry      sp -= 16; [sp] = direct-map address of sp + 16 (the caller's record)
 *                trap when (sp & 0x3fff) < 256: the stack guard, looked at after the store
 *     each call  [sp - 8] = return address, where the callee's record will have it
 *     exit       sp += 16
 *
 * A program with polls counts a third global, fuel, down: at each turn of a loop, and at the entry of each
 * framed function that calls another (what only calls the hardware can be in no recursion, so every endless
 * run comes by a poll). Two functions, fuel_left and refuel, are added and exported instead of the global: an
 * exported mutable global is slow on Bun. At zero the poll calls the handler, as an interrupt comes: no
 * return address is recorded, since no call instruction is there, so the word at sp - 8 stays that of the
 * last call. Entry functions have no polls: between two of their instructions no interrupt comes.
 *
 * The body becomes a block, so that a branch to the function's label and a `return` (now a branch) both
 * reach the exit code behind it. A local holds sp - 8, the address each call stores to; set_sp() moves it
 * along, so a function that changes stacks must set sp back before it returns. Intrinsics are replaced on
 * the way.
 *
 * With arguments in memory (arguments.ts) there is an area of `A` bytes between a record and its caller's:
 * the caller stores the return address below it, and once more at sp - 8; the callee takes 16 + A from sp.
 */
import type { ArgumentAreas } from "./arguments.ts";
import { ByteWriter } from "./bytes.ts";
import { LinkError } from "./error.ts";
import { OP } from "./instructions.ts";
import { I32, I64 } from "./module.ts";
import type { Program } from "./program.ts";
import type { ScannedFunction, Site } from "./scan.ts";
import { isCall, type Text } from "./text.ts";

/** Physical address pa is mapped at this virtual address + pa. */
export const DIRECT_MAP = 0xffff888000000000n;
/** Kernel stacks are of this size and aligned to it. */
export const STACK_SIZE = 0x4000;
/** A record whose address is less than this above the stack's lowest byte is an overflow. */
export const STACK_GUARD = 256;
const RECORD_SIZE = 16;

export interface RewriteContext {
  program: Program;
  text: Text;
  /** Virtual address of _text, as a signed number: small enough to be exact. */
  linkAddress: number;
  /** Function index in the file -> index in the linked module. */
  newIndex(index: number): number;
  /** What sym_NAME is, relative to __base. */
  symbolOffset(name: string): number;
  spGlobal: number;
  cpuGlobal: number;
  fuelGlobal: number;
  /** Null: all addresses are known. A loadable module's are not: gets each constant to be written later. */
  relocations: CodeRelocation[] | null;
  /** Null: arguments stay where wasm has them. */
  areas: ArgumentAreas | null;
}

/**
 * A constant in the code of a loadable module, padded to its type's longest form: function, the table index
 * of a function; data, the physical address of a symbol; text, the virtual one of a place in .text.
 */
export interface CodeRelocation {
  /** Where its bytes are, from the start of the function's body. */
  at: number;
  kind: "function" | "data" | "text";
  symbol: string;
  addend: number;
}

/** What `symbol` of a text relocation is: the section. */
export const TEXT_SECTION = ".text";
/** Begins with a loadable module's strings. */
const RODATA_SECTION = ".rodata";

/** The operand of an i32.const or i64.const that is written when the module is loaded. */
function writeLater(out: ByteWriter, context: RewriteContext, it: Omit<CodeRelocation, "at">): void {
  context.relocations?.push({ at: out.length, ...it });
  if (it.kind === "text") out.sleb64Zero();
  else out.sleb32Padded(0);
}

/** i64.const of a virtual address in .text. */
function writeTextAddress(out: ByteWriter, context: RewriteContext, offset: number): void {
  out.u8(OP.i64Const);
  if (context.relocations === null) out.sleb(context.linkAddress + offset);
  else writeLater(out, context, { kind: "text", symbol: TEXT_SECTION, addend: offset });
}

/** The address of a C string: `distance` before __base, or before the end of a loadable module's strings. */
function writeString(out: ByteWriter, context: RewriteContext, distance: number): void {
  const { baseGlobal, strings } = context.program;
  if (context.relocations === null) {
    out.u8(OP.globalGet).uleb(baseGlobal);
    constI32(out, -distance);
    out.u8(OP.i32Add);
  } else {
    out.u8(OP.i32Const);
    const addend = strings.bytes.length - distance;
    writeLater(out, context, { kind: "data", symbol: RODATA_SECTION, addend });
  }
}

/** The caller's record, seen from the local: its virtual address is this + the local's value. */
const RECORD_ABOVE = Number(BigInt.asIntN(64, DIRECT_MAP)) + RECORD_SIZE + 8;

export const NO_RESULT = 0x40;

/** Alignment exponent 3, then the offset: the immediates of an i64.store. */
function storeI64(out: ByteWriter, offset: number): void {
  out.u8(OP.i64Store, 3).uleb(offset);
}

function constI32(out: ByteWriter, value: number): void {
  out.u8(OP.i32Const).sleb(value);
}

function writeEntry(out: ByteWriter, slot: number, sp: number, area: number): void {
  out.u8(OP.globalGet).uleb(sp);
  constI32(out, RECORD_SIZE + area + 8);
  out.u8(OP.i32Sub, OP.localTee).uleb(slot);
  constI32(out, 8);
  out.u8(OP.i32Add, OP.globalSet).uleb(sp);

  out.u8(OP.localGet).uleb(slot);
  out.u8(OP.localGet).uleb(slot);
  out.u8(OP.i64ExtendI32U, OP.i64Const).sleb(RECORD_ABOVE + area);
  out.u8(OP.i64Add);
  storeI64(out, 8);

  // (sp & 0x3fff) < 256, as one mask: all bits above the guard's are zero.
  out.u8(OP.globalGet).uleb(sp);
  constI32(out, STACK_SIZE - STACK_GUARD);
  out.u8(OP.i32And, OP.i32Eqz, OP.if, NO_RESULT, OP.unreachable, OP.end);
}

/** Stores the parameters above the record, in order. */
function writeArguments(out: ByteWriter, slot: number, params: readonly number[]): void {
  params.forEach((type, i) => {
    if (type !== I32 && type !== I64) return;
    out.u8(OP.localGet).uleb(slot);
    out.u8(OP.localGet).uleb(i);
    if (type === I32) out.u8(OP.i64ExtendI32U);
    storeI64(out, 8 + RECORD_SIZE + i * 8);
  });
}

/** `area`: of the callee. */
function writeReturnAddress(
  out: ByteWriter,
  context: RewriteContext,
  slot: number | null,
  offset: number,
  area: number,
): void {
  if (area > 0) {
    if (slot !== null) writeReturnAddress(out, context, slot, offset, 0);
    else {
      // Nothing stops inside an entry function, and what lies there is of another call.
      out.u8(OP.globalGet).uleb(context.spGlobal);
      constI32(out, 8);
      out.u8(OP.i32Sub, OP.i64Const, 0);
      storeI64(out, 0);
    }
    out.u8(OP.globalGet).uleb(context.spGlobal);
    constI32(out, area + 8);
    out.u8(OP.i32Sub);
  } else if (slot === null) {
    out.u8(OP.globalGet).uleb(context.spGlobal);
    constI32(out, 8);
    out.u8(OP.i32Sub);
  } else {
    out.u8(OP.localGet).uleb(slot);
  }
  writeTextAddress(out, context, offset);
  storeI64(out, 0);
}

/**
 * `counter`: a local of the function's own. The handler gives new fuel, so zero is passed once. A leaf keeps
 * the fuel in the local all the time: nobody else runs meanwhile.
 */
function writePoll(out: ByteWriter, context: RewriteContext, counter: number, leaf: boolean): void {
  const { poll } = context.program;
  if (poll === null) return;
  if (context.relocations !== null) {
    out.u8(OP.call).uleb(poll.handler);
    return;
  }
  if (leaf) out.u8(OP.localGet).uleb(counter);
  else out.u8(OP.globalGet).uleb(context.fuelGlobal);
  constI32(out, -1);
  out.u8(OP.i32Add, OP.localTee).uleb(counter);
  if (!leaf) {
    out.u8(OP.globalSet).uleb(context.fuelGlobal);
    out.u8(OP.localGet).uleb(counter);
  }
  out.u8(OP.i32Eqz, OP.if, NO_RESULT);
  if (leaf) writeFuel(out, context, counter);
  out.u8(OP.call).uleb(context.newIndex(poll.handler));
  if (leaf) takeFuel(out, context, counter);
  out.u8(OP.end);
}

function takeFuel(out: ByteWriter, { fuelGlobal }: RewriteContext, counter: number): void {
  out.u8(OP.globalGet).uleb(fuelGlobal);
  out.u8(OP.localSet).uleb(counter);
}

function writeFuel(out: ByteWriter, { fuelGlobal }: RewriteContext, counter: number): void {
  out.u8(OP.localGet).uleb(counter);
  out.u8(OP.globalSet).uleb(fuelGlobal);
}

/** Whether a function may be part of a recursion: it calls a function of the program, or one by pointer. */
function callsProgram(source: ScannedFunction, { program }: RewriteContext): boolean {
  const hardware = new Set(program.hardware.map((it) => it.index));
  return source.sites.some(
    (it) => it.kind === "indirect" || (it.kind === "call" && !hardware.has(it.callee)),
  );
}

function writeIntrinsic(
  out: ByteWriter,
  context: RewriteContext,
  slot: number | null,
  site: Extract<Site, { kind: "intrinsic" }>,
): void {
  const { program, spGlobal, cpuGlobal } = context;
  switch (site.name) {
    case "get_sp":
      out.u8(OP.globalGet).uleb(spGlobal);
      return;
    case "set_sp":
      out.u8(OP.globalSet).uleb(spGlobal);
      if (slot === null) return;
      out.u8(OP.globalGet).uleb(spGlobal);
      constI32(out, 8);
      out.u8(OP.i32Sub, OP.localSet).uleb(slot);
      return;
    case "get_cpu":
      out.u8(OP.globalGet).uleb(cpuGlobal);
      return;
    case "set_cpu":
      out.u8(OP.globalSet).uleb(cpuGlobal);
      return;
    case "text_address":
      writeTextAddress(out, context, functionOffset(context, site.constant));
      return;
    default:
      out.u8(OP.globalGet).uleb(program.baseGlobal);
      out.u8(OP.i32Const).sleb32Padded(context.symbolOffset(site.name.slice("sym_".length)));
      out.u8(OP.i32Add);
  }
}

/** Where in .text the function is that a Function object stands for. */
function functionOffset(context: RewriteContext, object: number): number {
  const index = context.program.functionObjects.get(object) ?? -1;
  const place = context.text.placeOf.get(index);
  if (place === undefined) throw new LinkError(`the Function object at ${object} stands for no function`);
  return place.address;
}

/** The body of one function, without its size: local declarations, instructions, `end`. */
export function rewriteBody(source: ScannedFunction, context: RewriteContext): Uint8Array {
  const { program, text, spGlobal } = context;
  const { bytes, types } = program.module;
  const out = new ByteWriter();
  const framed = source.frame === "framed";
  const slot = framed ? source.localCount : null;
  const polls = program.poll !== null && source.frame !== "entry";
  const pollsEntry = polls && framed && program.poll?.entries === true && callsProgram(source, context);
  const loops = polls && source.sites.some((it) => it.kind === "loop");
  const counted = (pollsEntry || loops) && context.relocations === null;
  const added = (framed ? 1 : 0) + (counted ? 1 : 0);
  const counter = source.localCount + added - 1;
  if (added === 0) {
    out.bytes(bytes.subarray(source.start, source.code));
  } else {
    const groups = bytes.subarray(source.localsStart, source.code);
    out
      .uleb(source.localGroups + 1)
      .bytes(groups)
      .u8(added, I32);
  }
  const area = context.areas?.of(source.index) ?? 0;
  if (slot !== null) {
    writeEntry(out, slot, spGlobal, area);
    if (area > 0) writeArguments(out, slot, types[source.type]?.params ?? []);
    if (pollsEntry) writePoll(out, context, counter, false);
  }
  const leaf = counted && !framed;
  if (leaf) takeFuel(out, context, counter);
  const wrapped = framed || leaf;
  if (wrapped) out.u8(OP.block, types[source.type]?.results[0] ?? NO_RESULT);
  const calls = text.placeOf.get(source.index)?.calls ?? [];
  let nextCall = 0;
  let copied = source.code;
  for (const site of source.sites) {
    out.bytes(bytes.subarray(copied, site.start));
    copied = site.end;
    if (isCall(site)) {
      const call = calls[nextCall++];
      if (call === undefined)
        throw new LinkError(`${source.internalName} has a call without a place in the text`);
      // A module calls functions of the kernel through its table.
      const imported = site.kind === "call" ? program.kernel.get(site.callee) : undefined;
      const type = site.kind === "call" ? imported?.type : site.type;
      const callee =
        type === undefined && site.kind === "call"
          ? context.areas?.of(site.callee)
          : context.areas?.ofType(type ?? 0);
      writeReturnAddress(out, context, slot, call.returnAddress, callee ?? 0);
      if (imported !== undefined) {
        out.u8(OP.i32Const);
        writeLater(out, context, { kind: "function", symbol: imported.symbol, addend: 0 });
        out.u8(OP.callIndirect).uleb(imported.type).u8(0);
      } else if (site.kind === "call") out.u8(OP.call).uleb(context.newIndex(site.callee));
      else out.bytes(bytes.subarray(site.start, site.end));
    } else if (site.kind === "loop") {
      out.bytes(bytes.subarray(site.start, site.end));
      if (loops) writePoll(out, context, counter, leaf);
    } else if (site.kind === "return") {
      if (wrapped) out.u8(OP.br).uleb(site.depth);
      else out.u8(OP.return);
    } else if (site.kind === "global") {
      out.u8(OP.globalGet).uleb(program.newGlobal.get(site.index) ?? site.index);
    } else if (site.kind === "string") {
      writeString(out, context, program.strings.distances.get(site.text) ?? 0);
    } else if (site.kind === "address") {
      out.u8(OP.i32Const);
      writeLater(out, context, { kind: "data", symbol: site.name, addend: 0 });
    } else if (site.kind === "refFunc") {
      out.u8(OP.refFunc).uleb(context.newIndex(site.callee));
    } else {
      writeIntrinsic(out, context, slot, site);
    }
  }
  out.bytes(bytes.subarray(copied, source.end));
  if (slot !== null) {
    out.u8(OP.localGet).uleb(slot);
    constI32(out, RECORD_SIZE + area + 8);
    out.u8(OP.i32Add, OP.globalSet).uleb(spGlobal);
  }
  if (leaf) writeFuel(out, context, counter);
  if (wrapped) out.u8(OP.end);
  return out.finish();
}

/**
 * The body of the function that text_address() becomes where its argument is computed (the optimiser turns
 * `c ? fnptr(f) : fnptr(g)` into one call of a select): compares with every Function object; 0 for none.
 */
export function helperBody(context: RewriteContext): Uint8Array {
  const out = new ByteWriter();
  out.uleb(0);
  for (const object of context.program.functionObjects.keys()) {
    out.u8(OP.localGet, 0);
    constI32(out, object);
    out.u8(OP.i32Eq, OP.if, NO_RESULT);
    writeTextAddress(out, context, functionOffset(context, object));
    out.u8(OP.return, OP.end);
  }
  out.u8(OP.i64Const, 0, OP.end);
  return out.finish();
}
