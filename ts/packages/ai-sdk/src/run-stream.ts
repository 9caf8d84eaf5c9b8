import type { RunEntry, Session } from "@holdfast/client";
import type { UIMessageChunk } from "ai";
import { RunDecoder } from "./decoder.ts";

export interface RunStreamOptions {
  readonly session: Session;
  /** The run to follow, once it is there. */
  readonly find: () => RunEntry | undefined;
  /** Whether no run will come any more. */
  readonly stopped?: () => boolean;
  /** Chunks that come right behind the start, before those of the run. */
  readonly before?: readonly UIMessageChunk[];
  readonly abortSignal: AbortSignal | undefined;
  /** The stream has begun to follow the run, and has left it. */
  readonly begun: (offset: number) => void;
  readonly left: (offset: number) => void;
}

/**
 * The chunks of a run as it grows, to its end. What the session's connection goes through is not seen here, except that the
 * chunks come later. Leaving the stream, by cancelling it or by the signal, leaves the run alone.
 */
export function runStream(options: RunStreamOptions): ReadableStream<UIMessageChunk> {
  const follower = new Follower(options);
  return new ReadableStream<UIMessageChunk>({
    start: (controller) => follower.start(controller),
    // A reader that is slower than the answer gets fewer, larger chunks.
    pull: () => follower.step(),
    cancel: () => follower.leave(),
  });
}

class Follower {
  readonly #options: RunStreamOptions;
  readonly #decoder = new RunDecoder();
  #controller!: ReadableStreamDefaultController<UIMessageChunk>;
  #before: readonly UIMessageChunk[] | undefined;
  #offset: number | undefined;
  #leave: (() => void)[] = [];
  #stepping = false;
  #over = false;

  constructor(options: RunStreamOptions) {
    this.#options = options;
    this.#before = options.before;
  }

  start(controller: ReadableStreamDefaultController<UIMessageChunk>): void {
    this.#controller = controller;
    const { session, abortSignal } = this.#options;
    const abort = () => this.#finish(() => controller.close());
    if (abortSignal?.aborted) return abort();
    abortSignal?.addEventListener("abort", abort);
    this.#leave.push(
      session.subscribe(() => this.step()),
      () => abortSignal?.removeEventListener("abort", abort),
    );
  }

  step(): void {
    // Putting a chunk asks for the next at once, from inside.
    if (this.#over || this.#stepping || (this.#controller.desiredSize ?? 0) <= 0) return;
    this.#stepping = true;
    this.#take();
    this.#stepping = false;
  }

  #take(): void {
    const { session } = this.#options;
    const run = this.#run();
    if (!run) {
      if (session.status === "denied") this.#finish(() => this.#controller.error(session.error));
      // While catching up after a long absence, a session may hold nothing for a moment.
      else if (this.#offset !== undefined && session.status === "live") this.#lost();
      else if (this.#offset === undefined && this.#options.stopped?.()) this.#finish(() => this.#controller.close());
      return;
    }
    if (this.#offset === undefined) {
      this.#offset = run.offset;
      this.#options.begun(run.offset);
    }
    const chunks = this.#decoder.read(run);
    if (!chunks) return this.#lost();
    for (const chunk of chunks) this.#put(chunk);
    if (this.#decoder.ended) this.#finish(() => this.#controller.close());
  }

  fail(error: unknown): void {
    this.#finish(() => this.#controller.error(error));
  }

  leave(): void {
    this.#finish(() => {});
  }

  #run(): RunEntry | undefined {
    if (this.#offset === undefined) return this.#options.find();
    const entry = this.#options.session.entries.find(({ offset }) => offset === this.#offset);
    return entry?.kind === "run" ? entry : undefined;
  }

  #put(chunk: UIMessageChunk): void {
    this.#controller.enqueue(chunk);
    if (chunk.type !== "start" || !this.#before) return;
    for (const before of this.#before) this.#controller.enqueue(before);
    this.#before = undefined;
  }

  #lost(): void {
    this.fail(new Error("the session was deleted or lost, and the answer with it"));
  }

  #finish(close: () => void): void {
    if (this.#over) return;
    this.#over = true;
    for (const leave of this.#leave) leave();
    if (this.#offset !== undefined) this.#options.left(this.#offset);
    close();
  }
}
