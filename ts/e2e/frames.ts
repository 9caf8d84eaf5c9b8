/**
 * Counts the frames in what a server sends over one WebSocket, by their type. Such bytes are neither masked (RFC 6455 §5.1)
 * nor, from this server, compressed, so that they can be read as they pass.
 */
export class FrameCounter {
  readonly #counts: Map<string, number>;
  /** The answer to the handshake comes before the first frame. */
  #shaken = false;
  #rest = Buffer.alloc(0);

  /** What it counts is added to `counts`, which others may share. */
  constructor(counts: Map<string, number>) {
    this.#counts = counts;
  }

  take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    if (!this.#shaken) {
      const end = this.#rest.indexOf("\r\n\r\n");
      if (end < 0) return;
      this.#shaken = true;
      this.#rest = this.#rest.subarray(end + 4);
    }
    for (let size = this.#next(); size !== undefined; size = this.#next()) this.#rest = this.#rest.subarray(size);
  }

  /** Counts the frame that `rest` begins with; its size, or undefined while it is not there as a whole. RFC 6455 §5.2. */
  #next(): number | undefined {
    const rest = this.#rest;
    const short = (rest[1] ?? 0) & 0x7f;
    const head = short === 127 ? 10 : short === 126 ? 4 : 2;
    if (rest.length < head) return undefined;
    const length = short === 127 ? Number(rest.readBigUInt64BE(2)) : short === 126 ? rest.readUInt16BE(2) : short;
    if (rest.length < head + length) return undefined;
    const type = /^\{"t":"(\w+)"/.exec(rest.toString("utf8", head, head + Math.min(length, 40)))?.[1];
    if (type) this.#counts.set(type, (this.#counts.get(type) ?? 0) + 1);
    return head + length;
  }
}
