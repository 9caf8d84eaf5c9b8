/** What a token says of itself, as far as it matters here. It is not verified: that is the server's part. */
export interface Claims {
  readonly user: string;
  /** When it expires, in Unix milliseconds. */
  readonly expires: number;
}

/** Reads a JSON Web Token (RFC 7519 §4.1); undefined for anything that is none, or that names nobody. */
export function claimsOf(token: string): Claims | undefined {
  try {
    const text = atob((token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
    const { sub, exp } = JSON.parse(new TextDecoder().decode(bytes)) as { sub?: unknown; exp?: unknown };
    if (typeof sub !== "string" || !sub) return undefined;
    return { user: sub, expires: typeof exp === "number" ? exp * 1_000 : Infinity };
  } catch {
    return undefined;
  }
}
