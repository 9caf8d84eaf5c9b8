import { parseArgs } from "node:util";
import { CLIENTS, type ClientName } from "./page/report.ts";
import { DOC_CASES, writeDocs } from "./docs/page.ts";
import { load, save } from "./results.ts";
import { casesOf, nameOf, type Order, passed, pending, runAll } from "./runner.ts";
import { ms, remarks, table } from "./table.ts";
import type { Outcome } from "./verdict.ts";

const usage = `npm run coming-back -w holdfast-rig -- [options]

  --cases 1,3     which cases; default: all
  --client ours   ours, socketio, centrifuge, phoenix or partysocket, or several, or all; default: ours
  --n 3           runs of each case
  --jobs 1        runs at a time
  --peers-n 3     runs of each case of other clients; default: n
  --json FILE     writes all figures into a file
  --docs          writes docs/coming-back.md and its picture, of the cases that stand there
  --from A,B      reads the figures of files instead of measuring`;

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
  n: { type: "string", default: "3" },
  "peers-n": { type: "string" },
  jobs: { type: "string", default: "1" },
  json: { type: "string" },
  docs: { type: "boolean", default: false },
  from: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

const list = (text: string) => text.split(",").filter(Boolean);

async function main(): Promise<number> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const cases = casesOf(values.docs ? DOC_CASES : list(values.cases));
  const clients = clientsOf(values.client ?? (values.docs ? "all" : "ours"));
  const n = (client: ClientName) => Number((client !== "ours" && values["peers-n"]) || values.n);
  const orders: Order[] = clients.flatMap((client) =>
    cases
      .filter((of) => (client === "ours" ? !pending(of) : of.peers))
      .map((of) => ({ case: of, client, n: n(client) })),
  );
  const results = values.from ? load(list(values.from)) : await runAll(orders, Number(values.jobs), tell);
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
