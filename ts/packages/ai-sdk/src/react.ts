import { Chat, useChat, type UseChatHelpers } from "@ai-sdk/react";
import type { ChatInit, UIMessage } from "ai";
import { useCallback, useEffect, useMemo } from "react";
import type { HoldfastChatTransport } from "./transport.ts";

export type UseHoldfastChatOptions<M extends UIMessage> = Omit<ChatInit<M>, "transport" | "id"> & {
  /** The chat, and by default its session. */
  readonly id: string;
  readonly transport: HoldfastChatTransport<M>;
  /** How often at most the messages are told of, in ms. */
  readonly throttle?: number;
};

/**
 * useChat over a session: its history, other tabs' messages, answers that were not asked for here, and a `stop` that stops
 * the answer and not its reading. Callbacks are those of the first render of an id and a transport.
 */
export function useHoldfastChat<M extends UIMessage = UIMessage>(
  options: UseHoldfastChatOptions<M>,
): Omit<UseChatHelpers<M>, "stop" | "resumeStream"> & { readonly stop: () => Promise<boolean> } {
  const { id, transport, throttle, ...init } = options;
  // Made once for each chat: it holds the messages.
  const chat = useMemo(() => new Chat<M>({ ...init, id, transport }), [id, transport]);
  useEffect(() => transport.follow(chat), [chat, transport]);
  const { resumeStream: _, ...helpers } = useChat<M>({ chat, ...(throttle !== undefined && { throttle }) });
  const stop = useCallback(() => transport.stop(id), [transport, id]);
  return { ...helpers, stop };
}
