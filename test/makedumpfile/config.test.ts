/** The file of --config: what it means, and what is said of a wrong one. */
import { describe, expect, it } from "vitest";
import { ConfigError, namesOf, parseConfig } from "../../tools/makedumpfile/config.ts";

const path = (text: string, line: number) => ({ text, parts: text.split("."), line });

describe("the file of rules", () => {
  it("has sections, rules over several lines, and comments", () => {
    const text =
      "erase a # not b\n[vmlinux] c\nerase\ta.b.c size\n\n 3K\n[mod]\nerase p nullify erase q size a.n\n";
    const rule = { nullify: false, size: null };
    expect(parseConfig(text)).toEqual([
      { module: "vmlinux", commands: [{ ...rule, path: path("a", 1) }] },
      { module: "vmlinux", commands: [{ ...rule, path: path("a.b.c", 3), size: 3072 }] },
      {
        module: "mod",
        commands: [
          { path: path("p", 7), nullify: true, size: null },
          { path: path("q", 7), nullify: false, size: path("a.n", 7) },
        ],
      },
    ]);
  });

  it.each([
    ["10", 10],
    ["2m", 2 << 20],
    ["1Kb", 1024],
    ["7x", 7],
    ["0x10", 0],
  ])("size %s is %i bytes", (text, size) => {
    expect(parseConfig(`erase a size ${text}`)[0]!.commands).toMatchObject([{ size }]);
  });

  it("has loops over arrays, structures and lists", () => {
    const text =
      "for x in a.b\nerase x.c\nendfor\nfor y in s via n.m erase y endfor\n" +
      "for z in h.next within t:l\nendfor";
    const [section] = parseConfig(text);
    expect(section!.commands).toMatchObject([
      { variable: "x", list: path("a.b", 1), via: null, within: null, rules: [{ path: path("x.c", 2) }] },
      { variable: "y", via: path("n.m", 4), within: null, rules: [{ path: path("y", 4) }] },
      { variable: "z", list: path("h.next", 5), within: { structure: "t", member: path("l", 5) }, rules: [] },
    ]);
    const { variables, types } = namesOf([section!]);
    expect([variables, types]).toEqual([
      ["modules", "a", "s", "h"],
      ["module", "t"],
    ]);
  });

  it.each([
    ["bla", "get_config: Config error at 1: Invalid token 'bla'."],
    [
      "erase\nerase a",
      "read_erase_cmd_entry: Config error at 2: expected kernel symbol after 'erase' command.",
    ],
    [
      "erase a.b size\nnullify",
      "read_size_entry: Config error at 2: expected size symbol after 'size' keyword.",
    ],
    ["erase .", "read_erase_cmd_entry: Error at line 1: Failed to read filter symbol"],
    ["\n[vmlinux\nerase a", "get_config_token: Config error at 2: Invalid module section entry."],
    ["for", "read_iteration_entry: Config error at 1: expected iteration VAR entry after 'for' keyword."],
    ["for a in", "read_list_entry: Config error at 1: expected list symbol after 'in' keyword."],
    ["for a in b via", "read_list_entry: Config error at 1: expected member name after 'via' keyword."],
    ["for a in b within", "read_list_entry: Config error at 1: expected struct name after 'within' keyword."],
    ["for a in b within c:", "read_list_entry: Config error at 1: expected list_head member after ':'."],
    [
      "for a in b within :c",
      "read_list_entry: Config error at 1: Invalid token found after 'within' keyword.",
    ],
    ["for a in b\nerase c\n", "read_erase_cmd_entry: Config error at 2: unused iteration variable 'a'."],
    ["for a in b\nsize", "read_iteration_entry: Config error at 2: Invalid token 'size'."],
    ["for a in b\n[vmlinux]\nendfor", "read_iteration_entry: Config error at 1: No matching 'endfor' found."],
  ])("%j: %s", (text, message) => {
    expect(() => parseConfig(text)).toThrow(new ConfigError(message));
  });

  it.each([
    [
      "erase a size -5",
      "create_config_entry: Config error at 1: size value must be positive.",
      "read_size_entry: Error at line 1: Failed to read size symbol",
    ],
    [
      "for a on b",
      "read_iteration_entry: Config error at 1: Invalid token 'on'.",
      "read_iteration_entry: Config error at 1: expected token 'in'.",
    ],
    [
      "for a.b in c",
      "create_config_entry: Config error at 1: Invalid iteration variable entry.",
      "read_iteration_entry: Error at line 1: Failed to read iteration VAR entry.",
    ],
  ])("%j: two lines", (text, first, second) => {
    expect(() => parseConfig(text)).toThrow(new ConfigError(`${first}\n${second}`));
  });
});
