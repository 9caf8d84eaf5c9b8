export { RunDecoder } from "./decoder.ts";
export {
  type ChatRequest,
  type LogEntry,
  type LogRun,
  type LogSegment,
  answersOf,
  messageIdOf,
  requestOf,
} from "./log.ts";
export { messagesOf } from "./messages.ts";
export { HoldfastChatTransport, type HoldfastChatTransportOptions, type StopRequest } from "./transport.ts";
