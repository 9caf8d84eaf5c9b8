import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CLIENTS, type ClientName } from "./page/report.ts";
import { casesOf, nameOf, type Order, passed, pending, runAll } from "./runner.ts";
import { ms, remarks, table } from "./table.ts";

const usage = `npm run coming-back -w holdfast-rig -- [options]

  --cases 1,3     which cases; default: all
  --client ours   ours, socketio, centrifuge, phoenix or partysocket, or several, or all; default: ours
  --n 3           runs of each case
  --jobs 1        runs at a time
  --json FILE     writes all figures into a file`;

function clientsOf(names: string): readonly ClientName[] {
  if (names === "all") return CLIENTS;
  return names.split(",").map((name) => {
    const found = CLIENTS.find((client) => client === name);
    if (!found) throw new Error(`there is no client ${name}`);
    return found;
  });
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      cases: { type: "string", default: "" },
      client: { type: "string", default: "ours" },
      n: { type: "string", default: "3" },
      jobs: { type: "string", default: "1" },
      json: { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  const cases = casesOf(values.cases.split(",").filter(Boolean));
  const orders: Order[] = clientsOf(values.client).flatMap((client) =>
    cases.filter((of) => client === "ours" || of.peers).map((of) => ({ case: of, client, n: Number(values.n) })),
  );
  const results = await runAll(orders, Number(values.jobs), ({ case: of, client }, { figure, faults }) => {
    console.error(`case ${nameOf(of)}, ${client}: ${ms(figure)} ${faults.join("; ")}`);
  });
  if (values.json) writeFileSync(values.json, JSON.stringify(results, replaceInfinity, 2));
  console.log(`${table(results)}\n\n${remarks(results)}`);
  for (const of of cases.filter(pending)) {
    console.log(`case ${nameOf(of)} is pending, this checkout lacks ${of.needs?.join(", ")}: ${of.title}`);
  }
  return results.every((result) => result.client !== "ours" || passed(result)) ? 0 : 1;
}

const replaceInfinity = (_: string, value: unknown) => (value === Infinity ? "never" : value);

process.exitCode = await main();
