/** How large one event may be, in characters. The largest known ones hold a whole response. */
const MAX_EVENT = 8 * 1024 * 1024;

export interface ServerSentEvent {
  readonly name: string;
  readonly data: string;
}

/**
 * Reads an event stream as the HTML standard has it (§9.2.6): lines end with CR, LF or both, a byte order mark may come
 * first, lines that start with a colon say nothing, several data lines are one text, and an event that the stream ends in is
 * none. Throws a RangeError at an event that is too large.
 */
export class EventReader {
  readonly #decoder = new TextDecoder();
  #line: string[] = [];
  #size = 0;
  /** The last line ended with a CR; waiting for the LF that may follow would hold its event back. */
  #skipLF = false;
  #name = "";
  #data: string[] | undefined;

  /** Takes bytes, cut anywhere, and returns the events that are complete. */
  push(bytes: Uint8Array): ServerSentEvent[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (!text) return [];
    if (this.#skipLF && text.startsWith("\n")) text = text.slice(1);
    this.#skipLF = text.endsWith("\r");
    const events: ServerSentEvent[] = [];
    const pieces = text.split(/\r\n|\n|\r/);
    const rest = pieces.pop() ?? "";
    for (const piece of pieces) {
      this.#add(piece);
      const event = this.#endLine();
      if (event) events.push(event);
    }
    if (rest) this.#add(rest);
    return events;
  }

  #add(piece: string): void {
    this.#size += piece.length;
    if (this.#size > MAX_EVENT) throw new RangeError("the provider sent an event of more than 8 MiB");
    this.#line.push(piece);
  }

  #endLine(): ServerSentEvent | undefined {
    const line = this.#line.join("");
    this.#line = [];
    if (!line) {
      const event = this.#data && { name: this.#name, data: this.#data.join("\n") };
      this.#name = "";
      this.#data = undefined;
      this.#size = 0;
      return event;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "event") this.#name = value;
    if (field === "data") (this.#data ??= []).push(value);
    return undefined;
  }
}
