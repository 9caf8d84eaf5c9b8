export type { Answer, AnswerEvent, Usage } from "./answer.ts";
export type { ApiOptions } from "./api.ts";
export { ApiError, type ProviderCode, ProviderError, type RunInfo, type RunStatus } from "./errors.ts";
export { pipeAnthropic, pipeOpenAI, type Source, type Target } from "./pipe.ts";
export {
  type Entry,
  type FeedItem,
  type OpenRunOptions,
  Producer,
  type ProducerOptions,
  type Segment,
} from "./producer.ts";
export { type Fragment, Run } from "./run.ts";
export { pipeUIMessageStream, type UIChunk, UIEncoder } from "./ui-stream.ts";
