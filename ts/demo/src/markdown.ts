/**
 * The little of Markdown that answers use, as a tree: paragraphs, headings, lists, quotes, code, strong, emphasis, links.
 * Whatever is not recognised stands as it was written. A text that is still growing parses as far as it goes, and its
 * earlier blocks do not change, so that only the last one has to be drawn again.
 */

export type Inline =
  | string
  | { readonly tag: "strong" | "em"; readonly children: readonly Inline[] }
  | { readonly tag: "code"; readonly text: string }
  | { readonly tag: "a"; readonly href: string; readonly children: readonly Inline[] };

export type Block =
  | { readonly tag: "p" | "h3" | "blockquote"; readonly source: string }
  | { readonly tag: "pre"; readonly source: string }
  | { readonly tag: "ul" | "ol"; readonly start: number; readonly items: readonly string[]; readonly source: string };

const FENCE = /^```/;
const HEADING = /^#{1,6}\s+/;
const BULLET = /^\s*[-*+]\s+/;
const NUMBER = /^\s*(\d{1,9})[.)]\s+/;
const QUOTE = /^>\s?/;

export function blocks(text: string): Block[] {
  const lines = text.split("\n");
  const out: Block[] = [];
  let at = 0;
  const takeWhile = (fits: (line: string) => boolean) => {
    const from = at;
    while (at < lines.length && fits(lines[at] ?? "")) at++;
    return lines.slice(from, at);
  };
  while (at < lines.length) {
    const line = lines[at] ?? "";
    if (line.trim() === "") {
      at++;
    } else if (FENCE.test(line)) {
      at++;
      const body = takeWhile((l) => !FENCE.test(l));
      at++;
      out.push({ tag: "pre", source: body.join("\n") });
    } else if (HEADING.test(line)) {
      at++;
      out.push({ tag: "h3", source: line.replace(HEADING, "") });
    } else if (BULLET.test(line) || NUMBER.test(line)) {
      const kind = BULLET.test(line) ? BULLET : NUMBER;
      // A line that is no item of its own belongs to the one before.
      const body = takeWhile((l) => l.trim() !== "" && !FENCE.test(l));
      out.push(list(body, kind));
    } else if (QUOTE.test(line)) {
      out.push({
        tag: "blockquote",
        source: takeWhile((l) => QUOTE.test(l))
          .map((l) => l.replace(QUOTE, ""))
          .join("\n"),
      });
    } else {
      out.push({ tag: "p", source: takeWhile((l) => l.trim() !== "" && !startsBlock(l)).join("\n") });
    }
  }
  return out;
}

function startsBlock(line: string): boolean {
  return FENCE.test(line) || HEADING.test(line) || BULLET.test(line) || NUMBER.test(line) || QUOTE.test(line);
}

function list(lines: readonly string[], kind: RegExp): Block {
  const items: string[] = [];
  for (const line of lines) {
    if (kind.test(line)) items.push(line.replace(kind, ""));
    else items[items.length - 1] += `\n${line.trim()}`;
  }
  const start = kind === NUMBER ? Number(NUMBER.exec(lines[0] ?? "")?.[1] ?? 1) : 1;
  return { tag: kind === NUMBER ? "ol" : "ul", start, items, source: lines.join("\n") };
}

/** Each alternative is anchored by its own delimiters and cannot contain them, so the time taken is linear. */
const INLINE =
  /`([^`]+)`|\*\*([^*]+(?:\*(?!\*)[^*]+)*)\*\*|\*([^*\s][^*]*)\*|\b_([^_]+)_\b|\[([^\][]+)\]\((https?:\/\/[^\s)]+)\)/;

export function inlines(text: string): Inline[] {
  const out: Inline[] = [];
  let rest = text;
  for (let found = INLINE.exec(rest); found; found = INLINE.exec(rest)) {
    if (found.index > 0) out.push(rest.slice(0, found.index));
    rest = rest.slice(found.index + found[0].length);
    const [, code, strong, star, underscore, label, href] = found;
    if (code !== undefined) out.push({ tag: "code", text: code });
    else if (strong !== undefined) out.push({ tag: "strong", children: inlines(strong) });
    else if (label !== undefined && href !== undefined) out.push({ tag: "a", href, children: inlines(label) });
    else out.push({ tag: "em", children: inlines(star ?? underscore ?? "") });
  }
  if (rest) out.push(rest);
  return out;
}
