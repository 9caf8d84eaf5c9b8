import type { Stage } from "./stage.ts";

/** What happened in the page around the event, line by line, for finding out why a figure is what it is. */
export async function trace(stage: Stage): Promise<string> {
  const { events, dials, statuses, fetches } = await stage.page.report();
  const log = stage.client === "ours" ? await stage.page.call<readonly { at: number }[]>("log") : [];
  const lines: (readonly [at: number, what: string])[] = [
    ...events.map(({ name, at }) => [at, `browser: ${name}`] as const),
    ...statuses.map(({ state, at }) => [at, `status: ${state}`] as const),
    ...stage.proxy.arrivals.map(({ path, at }) => [at, `at the proxy: ${path.split("?")[0]}`] as const),
    ...stage.proxy.answers.map((at) => [at, "the proxy has an answer"] as const),
    ...fetches.map(({ url, at }) => [at, `fetch ${url.split("?")[0]}`] as const),
    ...dials.flatMap(({ url, at, opened, closed, code }) => [
      [at, `dial ${url}`] as const,
      ...(opened ? [[opened, `opened ${url}`] as const] : []),
      ...(closed ? [[closed, `closed ${url} ${code}`] as const] : []),
    ]),
    ...log.map(({ at, ...more }) => [at, `client: ${JSON.stringify(more)}`] as const),
  ];
  const since = stage.event - 1_000;
  return lines
    .filter(([at]) => at >= since)
    .sort(([a], [b]) => a - b)
    .map(([at, what]) => `${String(Math.round(at - stage.event)).padStart(7)}  ${what}`)
    .join("\n");
}
