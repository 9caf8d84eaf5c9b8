import { nameOf, passed, percentile, type Result } from "../runner.ts";
import { ms } from "../table.ts";

const HEDGE =
  "A pong is late after 183 ms here, then come the dial and the hello with a round trip each: 400 to 410 ms where nothing else " +
  "wants the machine. What is above that is the page's or the server's wait for one of its two cores.";

const DIAL =
  "A dial takes 103 to 115 ms here where nothing else wants the machine; in the runs above that, browser or proxy waited for one " +
  "of its two cores. No dial was held back for failures.";

const READ =
  "Two round trips and 20 ms, and then 6000 messages are read, sent and shown, which takes some 330 ms of a machine that does nothing " +
  "else. Two other cases ran beside each of these runs.";

const STILL = "The machine stood still for so long in one run that the client doubted a connection that was well.";

/** Why a case misses its target, for the page. A miss that is not here stands there with its figure alone. */
const REASONS: Readonly<Record<string, string>> = {
  "2": "The waits of this case are too short to keep other runs away, and their browsers take from it; no run reconnected.",
  "3": HEDGE,
  "15": "A machine that was stopped is slow at first: some dials began 190 ms after the clock had shown the jump.",
  "22": DIAL,
  "23": DIAL,
  "28": DIAL,
  "33":
    "By design. A token that has expired opens nothing: a connection that lives is served for ten seconds beyond its token's end " +
    "while it is renewed, a new one is not, since that end is how an application takes access away. The socket is opened while " +
    "the token is fetched, so it takes the token's 400 ms, one round trip and what a machine that was stopped needs to start.",
  "35": HEDGE,
  "36": HEDGE,
  "42": HEDGE,
  "43": HEDGE,
  "44": HEDGE,
  "6": "A page that is thawed is slow at first; the connection was kept in every run.",
  "9": READ,
  "9 older": READ,
  "13":
    "Another tab asked for the lock of the page that was on its way into the cache, and the browser did not know yet that it was free: " +
    "then that page is loaded anew instead.",
  "16": STILL,
  "16 back": STILL,
};

/** Every case of ours as a table, and what missed its target, with the reason. */
export function matrix(results: readonly Result[]): string {
  const ours = results.filter(({ client, outcomes }) => client === "ours" && outcomes.length > 0);
  if (ours.length === 0) return "";
  const rows = ours.sort((a, b) => a.case.id - b.case.id).map(row);
  const missed = ours.filter((result) => !passed(result)).map(miss);
  return `${INTRO}
| | What happens | Target | Median | 95th | Runs | |
|---|---|---:|---:|---:|---:|---|
${rows.join("\n")}

### Missed

${missed.length ? missed.join("\n") : "None."}
`;
}

function row(result: Result): string {
  const { case: of, outcomes } = result;
  const title = of.scaled ? `${of.title} (here: ${of.scaled})` : of.title;
  const figures = [of.target, percentile(result, 50), percentile(result, 95)].map(ms);
  return `| ${[nameOf(of), title, ...figures, String(outcomes.length), passed(result) ? "" : "missed"].join(" | ")} |`;
}

function miss(result: Result): string {
  const { case: of, outcomes } = result;
  const [most, target] = [percentile(result, 95), of.target];
  const late = target !== undefined && (most ?? Infinity) > target ? [`${ms(most)} ms instead of ${target}`] : [];
  const counts = new Map<string, number>();
  for (const fault of outcomes.flatMap(({ faults }) => faults)) counts.set(fault, (counts.get(fault) ?? 0) + 1);
  const faults = [...counts].map(([fault, n]) => `in ${n} of ${outcomes.length} runs: ${fault}`);
  const reason = REASONS[nameOf(of)];
  return `- **${nameOf(of)}, ${of.title}:** ${[...late, ...faults].join("; ")}.${reason ? ` ${reason}` : ""}`;
}

const INTRO = `## All cases

What a client has to come back from, and how fast Holdfast's does, in ms. The target is one for the 95th percentile; where there
is none, only what must hold counts. In each run the page must show the log from its first message to the last, each once
and in order, its outbox must be empty at the end, and no error may be left unhandled; where it is said how many dials
there may be, there are no more. The machine has two cores and other work at the same time. *Older* is a browser that keeps
the sockets of frozen pages, as Chromium did for long.
`;
