import { parseArgs } from "node:util";
import { CLIENTS, type ClientName } from "./page/report.ts";
import { DOC_CASES, writeDocs } from "./docs/page.ts";
import { load, save } from "./results.ts";
import { casesOf, nameOf, type Order, passed, pending, runAll } from "./runner.ts";
import { random } from "./shows/random.ts";
import { sends } from "./shows/sends.ts";
import { tabs } from "./shows/tabs.ts";
import { ms, remarks, table } from "./table.ts";
import type { Outcome } from "./verdict.ts";

const usage = `npm run coming-back -w holdfast-rig -- [what] [options]

Without a what, the cases of the matrix:

  --cases 1,3     which cases; default: all
  --client ours   ours, socketio, centrifuge, phoenix or partysocket, or several, or all; default: ours
  --n 3           runs of each case
  --jobs 1        runs at a time
  --peers-n 3     runs of each case of other clients; default: n
  --json FILE     writes all figures into a file
  --docs          writes docs/coming-back.md and its picture, of the cases that stand there
  --from A,B      reads the figures of files instead of measuring
  --trace         prints what happened in each page around the event

tabs: many tabs, one connection, and the tab that has it is lost
  --tabs 30 --rate 200 --n 1

sends: messages through a line that drops, doubles, delays and cuts, with reloads
  --sends 10000 --reloads 50 --tabs 5 --seed 1 --durable --shared

random: sequences of random events
  --n 500 --seed 1 --jobs 1`;

function clientsOf(names: string): readonly ClientName[] {
  if (names === "all") return CLIENTS;
  return names.split(",").map((name) => {
    const found = CLIENTS.find((client) => client === name);
    if (!found) throw new Error(`there is no client ${name}`);
    return found;
  });
}

const OPTIONS = {
  cases: { type: "string", default: "" },
  client: { type: "string" },
  n: { type: "string" },
  "peers-n": { type: "string" },
  jobs: { type: "string", default: "1" },
  json: { type: "string" },
  docs: { type: "boolean", default: false },
  from: { type: "string" },
  trace: { type: "boolean", default: false },
  tabs: { type: "string" },
  rate: { type: "string", default: "200" },
  sends: { type: "string", default: "10000" },
  reloads: { type: "string", default: "50" },
  seed: { type: "string", default: "1" },
  durable: { type: "boolean", default: false },
  shared: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

const parse = () => parseArgs({ options: OPTIONS, allowPositionals: true });
type Values = ReturnType<typeof parse>["values"];

const list = (text: string) => text.split(",").filter(Boolean);

async function main(): Promise<number> {
  const { values, positionals } = parse();
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const [what = "cases"] = positionals;
  if (what === "cases") return matrix(values);
  const show = shows[what];
  if (!show) throw new Error(`there is no ${what}; see --help`);
  const wrong = await show(values);
  console.log(wrong.length ? wrong.join("\n") : `${what}: all is well`);
  return wrong.length ? 1 : 0;
}

const say = (text: string) => console.log(text);

const shows: Readonly<Record<string, (values: Values) => Promise<readonly string[]>>> = {
  tabs: ({ tabs: count = "30", rate, n = "1" }) => tabs({ tabs: Number(count), rate: Number(rate), n: Number(n) }, say),
  sends: ({ sends: count, reloads, tabs = "5", seed, durable, shared }) => {
    const numbers = { sends: Number(count), reloads: Number(reloads), tabs: Number(tabs), seed: Number(seed) };
    return sends({ ...numbers, durable, shared }, say);
  },
  random: ({ n = "500", seed, jobs }) => {
    return random({ sequences: Number(n), seed: Number(seed), jobs: Number(jobs) }, say);
  },
};

async function matrix(values: Values): Promise<number> {
  const cases = casesOf(values.docs ? DOC_CASES : list(values.cases));
  const clients = clientsOf(values.client ?? (values.docs ? "all" : "ours"));
  const n = (client: ClientName) => Number((client !== "ours" && values["peers-n"]) || (values.n ?? 3));
  const orders: Order[] = clients.flatMap((client) =>
    cases
      .filter((of) => (client === "ours" ? !pending(of) : of.peers))
      .map((of) => ({ case: of, client, n: n(client) })),
  );
  const results = values.from ? load(list(values.from)) : await runAll(orders, Number(values.jobs), tell, values.trace);
  if (values.json) save(values.json, results);
  if (values.docs) writeDocs(results);
  console.log(`${table(results)}\n\n${remarks(results)}`);
  for (const of of cases.filter(pending)) {
    console.log(`case ${nameOf(of)} is pending, this checkout lacks ${of.needs?.join(", ")}: ${of.title}`);
  }
  return results.every((result) => result.client !== "ours" || passed(result)) ? 0 : 1;
}

function tell({ case: of, client }: Order, { figure, faults }: Outcome): void {
  console.error(`case ${nameOf(of)}, ${client}: ${ms(figure)} ${faults.join("; ")}`);
}

process.exitCode = await main();
