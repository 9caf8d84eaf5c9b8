import type { UIMessage, UIMessageChunk } from "ai";

/**
 * The chunks that make a message what it is, but for its start: for a stream that goes on with a message which did not begin
 * with it.
 */
export function chunksOf(message: UIMessage): UIMessageChunk[] {
  const chunks: UIMessageChunk[] = [];
  if (message.metadata !== undefined) chunks.push({ type: "message-metadata", messageMetadata: message.metadata });
  message.parts.forEach((part, n) => chunks.push(...partChunks(part as Part, `part-${n}`)));
  return chunks;
}

type Part = { readonly type: string } & Readonly<Record<string, unknown>>;

function partChunks(part: Part, id: string): UIMessageChunk[] {
  const chunks = (list: object[]) => list as UIMessageChunk[];
  const { type, state, text, providerMetadata } = part;
  const metadata = providerMetadata !== undefined && { providerMetadata };
  switch (type) {
    case "step-start":
      return [{ type: "start-step" }];
    case "text":
    case "reasoning": {
      const named = type === "reasoning" && typeof part["id"] === "string" ? part["id"] : id;
      const begun = [
        { type: `${type}-start`, id: named, ...metadata },
        { type: `${type}-delta`, id: named, delta: text },
      ];
      const citations = part["citations"] !== undefined && { citations: part["citations"] };
      return chunks(state === "streaming" ? begun : [...begun, { type: `${type}-end`, id: named, ...citations }]);
    }
  }
  // The other parts are chunks of the same name.
  return type.startsWith("tool-") || type === "dynamic-tool" ? chunks(toolChunks(part)) : chunks([part]);
}

function toolChunks(part: Part): object[] {
  const { type, toolCallId, input, state, title, providerExecuted, toolMetadata } = part;
  const dynamic = type === "dynamic-tool";
  const call = {
    toolCallId,
    toolName: dynamic ? part["toolName"] : type.slice("tool-".length),
    ...(dynamic && { dynamic }),
    ...(title !== undefined && { title }),
    ...(providerExecuted !== undefined && { providerExecuted }),
    ...(toolMetadata !== undefined && { toolMetadata }),
    ...(part["callProviderMetadata"] !== undefined && { providerMetadata: part["callProviderMetadata"] }),
  };
  if (state === "input-streaming") {
    const encoding = part["inputEncoding"] !== undefined && { inputEncoding: part["inputEncoding"] };
    const start = { type: "tool-input-start", ...call, ...encoding };
    const raw = part["rawInput"];
    return raw ? [start, { type: "tool-input-delta", toolCallId, inputTextDelta: raw }] : [start];
  }
  const out: object[] = [{ type: "tool-input-available", ...call, input }, ...approvalChunks(part)];
  const of = {
    toolCallId,
    ...(providerExecuted !== undefined && { providerExecuted }),
    ...(part["resultProviderMetadata"] !== undefined && { providerMetadata: part["resultProviderMetadata"] }),
  };
  if (state === "output-available") {
    const preliminary = part["preliminary"] !== undefined && { preliminary: part["preliminary"] };
    out.push({ type: "tool-output-available", ...of, output: part["output"], ...preliminary });
  }
  if (state === "output-error") out.push({ type: "tool-output-error", ...of, errorText: part["errorText"] });
  if (state === "output-denied") out.push({ type: "tool-output-denied", toolCallId });
  return out;
}

function approvalChunks({ toolCallId, approval }: Part): object[] {
  const a = approval as Readonly<Record<string, unknown>> | undefined;
  if (!a) return [];
  const { id: approvalId, approved, descriptor, requestReason, reason, isAutomatic, signature } = a;
  const request = {
    type: "tool-approval-request",
    approvalId,
    toolCallId,
    ...(descriptor !== undefined && { approvalDescriptor: descriptor }),
    ...("inputSchemaInput" in a && { inputSchemaInput: a["inputSchemaInput"] }),
    ...(requestReason !== undefined && { reason: requestReason }),
    ...(isAutomatic !== undefined && { isAutomatic }),
    ...(signature !== undefined && { signature }),
  };
  if (approved === undefined) return [request];
  const answer = { type: "tool-approval-response", approvalId, approved, ...(reason !== undefined && { reason }) };
  return [request, answer];
}
