import { readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai";
import { RunDecoder } from "./decoder.ts";
import { type LogEntry, type LogRun, messageIdOf, requestOf } from "./log.ts";

/**
 * The messages of a chat, from the entries of its session: in the page, and in the backend from the history. An answer that
 * was regenerated, and what followed a message that was edited, are not among them.
 */
export function messagesOf<M extends UIMessage = UIMessage>(entries: readonly LogEntry[]): Promise<M[]> {
  return new Messages<M>().of(entries);
}

/** messagesOf for entries that grow: a run that has not changed is not read again. */
export class Messages<M extends UIMessage> {
  /** The message of a run, with the message that it goes on with. */
  readonly #made = new WeakMap<LogRun, { readonly base: M | undefined; readonly message: M }>();

  async of(entries: readonly LogEntry[]): Promise<M[]> {
    for (;;) {
      const missing: { run: LogRun; base: M | undefined }[] = [];
      const list = this.now(entries, (run, base) => missing.push({ run, base }));
      const next = missing[0];
      if (!next) return list;
      this.#made.set(next.run, { base: next.base, message: await messageOf(next.run, next.base) });
    }
  }

  /** What can be said at once; `missing` is told of the first run that `of` has to read before. */
  now(entries: readonly LogEntry[], missing?: (run: LogRun, base: M | undefined) => void): M[] {
    const list: M[] = [];
    const at = (id: string) => list.findIndex((m) => m.id === id);
    for (const entry of entries) {
      if (entry.kind === "message") {
        const request = requestOf<M>(entry.data);
        if (request?.type === "message") {
          const i = at(request.message.id);
          if (i >= 0) list.length = i;
          list.push(request.message);
        } else if (request) {
          list.length = request.after === undefined ? 0 : at(request.after) + 1 || list.length;
        }
      }
      // A run that has nothing yet has no message that its stream could have named.
      if (entry.kind !== "run" || (entry.status === "open" && !entry.body.length)) continue;
      const i = at(messageIdOf(entry));
      const base = i >= 0 ? list[i] : undefined;
      const made = this.#made.get(entry);
      if (!made || made.base !== base) {
        missing?.(entry, base);
        return list;
      }
      if (i >= 0) list[i] = made.message;
      else list.push(made.message);
    }
    return list;
  }
}

async function messageOf<M extends UIMessage>(run: LogRun, base: M | undefined): Promise<M> {
  const chunks = new RunDecoder().read(run) ?? [];
  const from = base ?? ({ id: messageIdOf(run), role: "assistant", parts: [] } as unknown as M);
  const stream = new ReadableStream<UIMessageChunk>({
    start: (controller) => {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  let message = from;
  // Its errors are of the answer, which is shown as far as it got.
  const states = readUIMessageStream<M>({ message: structuredClone(from), stream, onError: () => {} });
  for await (const state of states) message = state;
  return message;
}
