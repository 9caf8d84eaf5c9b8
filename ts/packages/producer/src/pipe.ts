import { Anthropic } from "./anthropic.ts";
import { type Answer, type Dialect, Writer } from "./answer.ts";
import { ProviderError } from "./errors.ts";
import { OpenAI } from "./openai.ts";
import type { Fragment, Run } from "./run.ts";
import { EventReader } from "./sse.ts";

/** What a pipe needs of a run; Run is one. */
export type Target = Pick<Run, "signal" | "write" | "flush" | "end">;

/** A provider's answer: what fetch gives, or its body from elsewhere. */
export type Source = Response | AsyncIterable<Uint8Array>;

/**
 * Pipes the answer of an OpenAI-compatible provider (chat completions, or responses) into a run, and ends the run: as
 * complete, or as failed with a reason that people may see if the provider failed; it then rejects with a ProviderError.
 * When the run is over before the answer is, the provider's request is given up, and it rejects with the reason; give
 * `run.signal` to fetch as well, for the time before there is an answer.
 */
export function pipeOpenAI(source: Source, run: Target): Promise<Answer> {
  return pipe(source, run, (writer) => new OpenAI(writer));
}

/** pipeOpenAI for Anthropic's Messages API. */
export function pipeAnthropic(source: Source, run: Target): Promise<Answer> {
  return pipe(source, run, (writer) => new Anthropic(writer));
}

async function pipe(source: Source, run: Target, dialect: (writer: Writer) => Dialect): Promise<Answer> {
  const writer = new Writer();
  try {
    await read(await bodyOf(source), run, writer, dialect(writer));
    await run.flush();
  } catch (error) {
    run.signal.throwIfAborted();
    const failure =
      error instanceof ProviderError
        ? { code: error.code, message: error.reason }
        : { code: "unwritable", message: "The answer could not be kept." };
    await run.end("failed", { ...writer.answer, error: failure });
    throw error;
  }
  await run.end("complete", writer.answer);
  return writer.answer;
}

async function bodyOf(source: Source): Promise<AsyncIterable<Uint8Array>> {
  if (!(source instanceof Response)) return source;
  if (source.status !== 200) {
    const said = await source.text().catch(() => "");
    throw ProviderError.ofStatus(source.status, said);
  }
  if (!source.body) throw new ProviderError("provider_cut", "the answer has no body");
  return chunksOf(source.body);
}

async function read(body: AsyncIterable<Uint8Array>, run: Target, writer: Writer, dialect: Dialect): Promise<void> {
  const events = new EventReader();
  for await (const bytes of interruptible(body, run.signal, cut)) {
    let over = false;
    try {
      for (const { data } of events.push(bytes)) {
        over = dialect.take(data);
        if (over) break;
      }
    } catch (error) {
      await write(run, writer);
      if (error instanceof RangeError) throw new ProviderError("provider_invalid", error.message, { cause: error });
      throw error;
    }
    await write(run, writer);
    if (over) return;
  }
  if (!dialect.done) throw new ProviderError("provider_cut", "the stream ended before the answer");
}

/** Writes what has come; what came together goes out together. */
async function write(run: Target, writer: Writer): Promise<void> {
  const fragments: Fragment[] = writer.out;
  writer.out = [];
  if (fragments.length) await run.write(fragments);
}

/** The values of an iterable until the signal aborts; it is told to end then, also while a value is awaited. */
export async function* interruptible<T>(
  values: AsyncIterable<T>,
  signal: AbortSignal,
  failed: (cause: unknown) => never = rethrow,
): AsyncGenerator<T> {
  const iterator = values[Symbol.asyncIterator]();
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
  });
  aborted.catch(() => {});
  try {
    signal.throwIfAborted();
    for (;;) {
      const { done, value } = await Promise.race([iterator.next().catch(failed), aborted]);
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    // Not awaited: an iterator that is stuck in its next value ends only after it.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

function rethrow(cause: unknown): never {
  throw cause;
}

function cut(cause: unknown): never {
  throw new ProviderError("provider_cut", "the connection broke off", { cause });
}

/** The chunks of a stream; leaving the loop cancels it, even while a chunk is awaited. */
export function chunksOf<T>(stream: ReadableStream<T>): AsyncIterable<T> {
  const reader = stream.getReader();
  return {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        const { done, value } = await reader.read();
        return done ? { done, value: undefined } : { done: false, value };
      },
      return: async () => {
        await reader.cancel();
        return { done: true, value: undefined };
      },
    }),
  };
}
