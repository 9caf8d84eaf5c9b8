// What the server tells the page, as it stands in internal/admin and internal/journal. Times are RFC 3339.

export interface Me {
  name: string;
  acts: boolean;
}

export interface Figures {
  at: string;
  started: string;
  phase: string;
  connections: number;
  users: number;
  sessions: number;
  readings: number;
  attached: number;
  ended: number;
  entries: number;
  fragments: number;
  runsEnded: number;
  goroutines: number;
  heap: number;
}

export interface Connection {
  conn: string;
  user: string;
  client: string;
  generation: number;
  transport: string;
  remote: string;
  agent?: string;
  since: string;
  sessions: string[] | null;
}

export interface OpenRun {
  run: number;
  id: string;
  fragments: number;
  bytes: number;
  at: string;
  changed: string;
  stop?: string;
}

export interface Session {
  session: string;
  epoch: string;
  first: number;
  head: number;
  entries: number;
  bytes: number;
  created: string;
  changed: string;
  open: OpenRun[];
  readers: Connection[];
}

export interface Names {
  users: string[];
  sessions: string[];
  conns: string[];
}

export interface TimelineRecord {
  at: string;
  source: "server" | "client" | "log";
  event: string;
  user?: string;
  client?: string;
  conn?: string;
  session?: string;
  data?: Record<string, unknown>;
}

/** What tokens do not allow any more; what is not named is not asked for. */
export interface Revocation {
  id: string;
  token?: string;
  user?: string;
  client?: string;
  session?: string;
  actions?: string[];
  reason?: string;
  at: string;
  until?: string;
}

/** What a revocation did to the connections that there were. */
export interface Revoked {
  revocation: Revocation;
  closed: number;
  changed: number;
}

/** A refusal of the server's, in its own words. */
export class Refusal extends Error {}

async function answer<T>(response: Response): Promise<T> {
  if (response.ok) return (await response.json()) as T;
  const problem = (await response.json().catch(() => ({}))) as { detail?: string };
  throw new Refusal(problem.detail ?? `the server answered ${response.status}`);
}

/** Asks for something. Empty values are left out. */
export async function look<T>(what: string, of: Record<string, string> = {}): Promise<T> {
  const query = new URLSearchParams(Object.entries(of).filter(([, value]) => value));
  return answer<T>(await fetch(`api/${what}?${query}`));
}

/** Does something. The header is what other pages cannot send. */
export async function act<T>(what: string, to: object): Promise<T> {
  const init = { method: "POST", headers: { "Holdfast-Operator": "page" }, body: JSON.stringify(to) };
  return answer<T>(await fetch(`api/${what}`, init));
}
