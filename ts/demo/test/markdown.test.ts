import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Block, blocks, type Inline, inlines } from "../src/markdown.ts";

const tags = (text: string) => blocks(text).map((b) => b.tag);

describe("blocks", () => {
  it.each([
    ["nothing", "", []],
    ["paragraphs", "one\ntwo\n\nthree", ["p", "p"]],
    ["a heading without a blank line after it", "# Title\ntext", ["h3", "p"]],
    ["a list after a paragraph", "So:\n- a\n- b", ["p", "ul"]],
    ["a numbered list", "3. a\n4. b", ["ol"]],
    ["a quote", "> a\n> b\n\nc", ["blockquote", "p"]],
    ["code that looks like other things", "```\n# no\n- no\n\n```\nyes", ["pre", "p"]],
    ["code that has not ended yet", "```\nlet a", ["pre"]],
    ["a lone bullet without a text", "-", ["p"]],
  ])("%s", (_, text, expected) => {
    expect(tags(text)).toEqual(expected);
  });

  it("a list keeps its number, and lines that go on", () => {
    expect(blocks("7. seven\n   and more\n8. eight")).toMatchObject([
      { tag: "ol", start: 7, items: ["seven\nand more", "eight"] },
    ]);
  });
});

describe("inlines", () => {
  const strong = (...children: Inline[]): Inline => ({ tag: "strong", children });
  it.each<[string, Inline[]]>([
    ["a **b** c", ["a ", strong("b"), " c"]],
    ["**a `b` c**", [strong("a ", { tag: "code", text: "b" }, " c")]],
    ["*a* _b_", [{ tag: "em", children: ["a"] }, " ", { tag: "em", children: ["b"] }]],
    ["`**a**`", [{ tag: "code", text: "**a**" }]],
    ["snake_case_name 2 * 3 * 4", ["snake_case_name 2 * 3 * 4"]],
    ["**not yet", ["**not yet"]],
    ["[x](https://a.b/c)", [{ tag: "a", href: "https://a.b/c", children: ["x"] }]],
    ["[x](javascript:alert(1))", ["[x](javascript:alert(1))"]],
    ["<b>&amp;</b>", ["<b>&amp;</b>"]],
  ])("%s", (text, expected) => {
    expect(inlines(text)).toEqual(expected);
  });
});

const piece = fc.constantFrom(
  "a",
  " ",
  "\n",
  "\n\n",
  "**",
  "*",
  "_",
  "`",
  "```\n",
  "- ",
  "1. ",
  "# ",
  "> ",
  "[x](https://y)",
);
const source = fc.array(piece, { maxLength: 60 }).map((parts) => parts.join(""));

describe("any text", () => {
  it("loses none of its letters", () => {
    fc.assert(
      fc.property(source, (text) => {
        const letters = (s: string) => s.replaceAll(/[^a]/g, "");
        const shown = blocks(text).map((b: Block) => ("items" in b ? b.items.join("") : b.source));
        expect(letters(shown.join(""))).toBe(letters(text));
        expect(letters(flat(inlines(text)))).toBe(letters(text));
      }),
    );
  });

  it("that grows changes only its last block", () => {
    fc.assert(
      fc.property(source, piece, (text, more) => {
        const before = blocks(text).slice(0, -1);
        expect(blocks(text + more).slice(0, before.length)).toEqual(before);
      }),
    );
  });

  it("takes time that grows with its length only", () => {
    for (const evil of ["*", "**", "`", "_", "[", "[x](", "**a*"]) {
      const started = performance.now();
      inlines(evil.repeat(20_000 / evil.length));
      expect(performance.now() - started).toBeLessThan(2_000);
    }
  });
});

function flat(list: readonly Inline[]): string {
  return list.map((i) => (typeof i === "string" ? i : "text" in i ? i.text : flat(i.children))).join("");
}
