/**
 * What went wrong, from a closed set. The first group is the server's (it may learn new ones, hence the open end), the
 * second the client's own.
 */
export type ErrorCode =
  | "invalid"
  | "too_large"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "conflict"
  | "lost"
  | "rate_limited"
  | "unavailable"
  | "internal"
  /** The session or the client was closed before the answer came. */
  | "closed"
  /** The send was given up with `discard()`. */
  | "discarded"
  | (string & {});

/** The one error class of this library. Decide by the code; the message is for people. */
export class HoldfastError extends Error {
  override readonly name = "HoldfastError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
