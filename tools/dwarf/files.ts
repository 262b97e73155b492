/** declaredIn: the source file that an entry was declared in, by the tables of names in .debug_line. */
import { type ByteSource, readExactly } from "../dump/bytes.ts";
import { Cursor, ShortError } from "./cursor.ts";
import type { Entries, Entry } from "./entries.ts";
import { AT, FORM, LNCT } from "./names.ts";
import { damaged, skipForm, type Unit } from "./units.ts";

/** The names of one unit: of a kernel's some KiB. */
const HEADER_MAX = 16 * 1024 * 1024;

/** A name with the number of its directory. */
interface Named {
  name: string;
  directory: number;
}

/** Directory and name, as the compiler was told them; null when the entry says none. Throws DumpError. */
export async function declaredIn(line: ByteSource, entries: Entries, entry: Entry): Promise<string | null> {
  const index = entries.constant(entry, AT.decl_file);
  const root = await entries.at(entry.unit.first);
  const at = entries.constant(root, AT.stmt_list);
  if (index === null || at === null) return null;
  const table = await new LineHeader(line, entries, entry).read(at);
  // Until DWARF 4 files count from 1, and directory 0 is the compiler's own.
  const file = table.version >= 5 ? table.files[index] : table.files[index - 1];
  if (file === undefined) return null;
  const first =
    table.version >= 5 ? [] : [{ name: (await entries.text(root, AT.comp_dir)) ?? "", directory: 0 }];
  const directory = [...first, ...table.directories][file.directory]?.name ?? "";
  return file.name.startsWith("/") || directory === "" ? file.name : `${directory}/${file.name}`;
}

class LineHeader {
  private readonly cursor = new Cursor();
  private unit!: Unit;

  constructor(
    private readonly line: ByteSource,
    private readonly entries: Entries,
    private readonly entry: Entry,
  ) {}

  async read(at: number): Promise<{ version: number; directories: Named[]; files: Named[] }> {
    const { line, cursor } = this;
    const start = await readExactly(line, at, Math.min(32, Math.max(0, line.size - at)), "a line table");
    try {
      cursor.set(start);
      const offsetSize = cursor.u32() === 0xffffffff ? 8 : 4;
      const long = (): number => (offsetSize === 8 ? cursor.u64Number() : cursor.u32());
      if (offsetSize === 8) cursor.skip(8);
      const version = cursor.u16();
      if (version < 2 || version > 5) throw damaged(line, at, `a line table of version ${version}`);
      if (version >= 5) cursor.skip(2);
      const length = long();
      if (!(length <= HEADER_MAX)) throw damaged(line, at, `${length} bytes of names`);
      this.unit = { ...this.entry.unit, version, offsetSize };
      cursor.set(await readExactly(line, at + cursor.at, length, "the names of a line table"));
      cursor.skip(version >= 4 ? 5 : 4);
      cursor.skip(cursor.u8() - 1);
      if (version >= 5) {
        return { version, directories: await this.entryList(), files: await this.entryList() };
      }
      return { version, directories: this.list(false), files: this.list(true) };
    } catch (error) {
      if (error instanceof ShortError) throw damaged(line, at, "the names go beyond their table");
      throw error;
    }
  }

  /** Names up to an empty one; behind those of files stand directory, time and size. */
  private list(files: boolean): Named[] {
    const { cursor } = this;
    const found: Named[] = [];
    for (let name = cursor.string(); name !== ""; name = cursor.string()) {
      found.push({ name, directory: files ? cursor.uleb() : 0 });
      if (files) {
        cursor.uleb();
        cursor.uleb();
      }
    }
    return found;
  }

  /** DWARF 5's: first the forms of what each name has. */
  private async entryList(): Promise<Named[]> {
    const { cursor, unit, line } = this;
    const formats: [type: number, form: number][] = [];
    for (let n = cursor.u8(); n > 0; n--) formats.push([cursor.uleb(), cursor.uleb()]);
    const count = cursor.uleb();
    // Each takes a byte at least.
    if (count > cursor.bytes.length) throw new ShortError();
    const found: Named[] = [];
    for (let n = 0; n < count; n++) {
      const named: Named = { name: "", directory: 0 };
      for (const [type, form] of formats) {
        if (type === LNCT.path) named.name = await this.path(form);
        else if (type === LNCT.directory_index) named.directory = this.number(form);
        else skipForm(cursor, form, unit, line);
      }
      found.push(named);
    }
    return found;
  }

  private async path(form: number): Promise<string> {
    const { cursor, unit } = this;
    if (form === FORM.string) return cursor.string();
    const offset = unit.offsetSize === 8 ? cursor.u64Number() : cursor.u32();
    return this.entries.textAt(form, offset, this.entry);
  }

  private number(form: number): number {
    const { cursor } = this;
    if (form === FORM.data1) return cursor.u8();
    if (form === FORM.data2) return cursor.u16();
    return cursor.uleb();
  }
}
