import { element } from "./element.ts";
import { type Block, blocks, type Inline, inlines } from "./markdown.ts";

/** Shows a text that grows: a block whose source is the same keeps its element. */
export class MarkdownView {
  readonly root = element("div", { class: "md" });
  #text = "";
  #drawn: { readonly key: string; readonly node: HTMLElement }[] = [];

  show(text: string): void {
    if (text === this.#text) return;
    this.#text = text;
    const wanted = blocks(text);
    let same = 0;
    while (same < wanted.length && this.#drawn[same]?.key === keyOf(wanted[same])) same++;
    for (const { node } of this.#drawn.splice(same)) node.remove();
    for (const block of wanted.slice(same)) {
      const node = draw(block);
      this.#drawn.push({ key: keyOf(block), node });
      this.root.append(node);
    }
  }
}

function keyOf(block: Block | undefined): string {
  return block ? `${block.tag} ${block.source}` : "";
}

function draw(block: Block): HTMLElement {
  switch (block.tag) {
    case "pre":
      return element("pre", { tabindex: "0" }, element("code", {}, block.source));
    case "ul":
      return element("ul", {}, ...block.items.map(item));
    case "ol":
      return element("ol", { start: String(block.start) }, ...block.items.map(item));
    default:
      return element(block.tag, {}, ...inlines(block.source).map(drawInline));
  }
}

const item = (source: string) => element("li", {}, ...inlines(source).map(drawInline));

function drawInline(inline: Inline): Node | string {
  if (typeof inline === "string") return inline;
  switch (inline.tag) {
    case "code":
      return element("code", {}, inline.text);
    case "a": {
      const attributes = { href: inline.href, target: "_blank", rel: "noopener noreferrer" };
      return element("a", attributes, ...inline.children.map(drawInline));
    }
    default:
      return element(inline.tag, {}, ...inline.children.map(drawInline));
  }
}
