export { durableOutbox, type DurableOutboxOptions } from "./durable-outbox.ts";
export { type ClearableCache, sessionCache, type SessionCacheOptions } from "./session-cache.ts";
