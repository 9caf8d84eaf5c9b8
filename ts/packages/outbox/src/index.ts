export { durableOutbox, type DurableOutboxOptions } from "./durable-outbox.ts";
export { flushOnLeave, type FlushOptions } from "./flush-on-leave.ts";
export { type ClearableCache, sessionCache, type SessionCacheOptions } from "./session-cache.ts";
