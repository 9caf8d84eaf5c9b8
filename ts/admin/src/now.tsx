import { useState } from "preact/hooks";
import { type Connection, type Figures, look } from "./api.ts";
import { Chart, type Line } from "./chart.tsx";
import { Connections, Problem, useLook } from "./parts.tsx";
import { ago, bytes, count } from "./words.ts";

type Counter = "attached" | "ended" | "entries" | "fragments" | "runsEnded";

const seconds = ({ at }: Figures) => Date.parse(at) / 1000;

/** How much a counter grew per second, up to each sample; nothing where the process began anew. */
function rate(list: Figures[], of: Counter): (number | null)[] {
  return list.map((now, i) => {
    const before = list[i - 1];
    if (!before || before.started !== now.started) return null;
    return (now[of] - before[of]) / Math.max(seconds(now) - seconds(before), 0.001);
  });
}

function charts(list: Figures[]): { times: number[]; held: Line[]; written: Line[]; moved: Line[] } {
  return {
    times: list.map(seconds),
    held: [
      { label: "connections", color: "#3a7afe", values: list.map((f) => f.connections) },
      { label: "users", color: "#8a63d2", values: list.map((f) => f.users) },
    ],
    written: [
      { label: "entries/s", color: "#1a936f", values: rate(list, "entries") },
      { label: "fragments/s", color: "#e09f3e", values: rate(list, "fragments") },
    ],
    moved: [
      { label: "connects/s", color: "#3a7afe", values: rate(list, "attached") },
      { label: "ends/s", color: "#d1495b", values: rate(list, "ended") },
    ],
  };
}

const Tile = ({ label, value }: { label: string; value: string }) => (
  <div class="tile">
    <b>{value}</b>
    <span>{label}</span>
  </div>
);

/** The history that the server keeps, and after it what is asked for while the page is shown. */
function useHistory() {
  const [list, set] = useState<Figures[]>([]);
  const { error } = useLook(
    async () => {
      const past = list.length ? list : await look<Figures[]>("history");
      const now = await look<Figures>("now");
      set((before) => [...(before.length ? before : past), now].slice(-1500));
      return now;
    },
    2000,
    "now",
  );
  return { list, error };
}

export function Now({ acts }: { acts: boolean }) {
  const { list, error } = useHistory();
  const { value: connections } = useLook(() => look<Connection[]>("connections"), 5000, "connections");
  const last = list.at(-1);
  if (!last) return <Problem error={error} />;
  const { times, held, written, moved } = charts(list);
  const latest = (line?: Line) => count(line?.values.at(-1) ?? 0);
  return (
    <main>
      <Problem error={error} />
      <div class="tiles">
        <Tile label="connections" value={count(last.connections)} />
        <Tile label="users" value={count(last.users)} />
        <Tile label="sessions in memory" value={count(last.sessions)} />
        <Tile label="entries/s" value={latest(written[0])} />
        <Tile label="fragments/s" value={latest(written[1])} />
        <Tile label="runs ended" value={count(last.runsEnded)} />
        <Tile label="heap" value={bytes(last.heap)} />
        <Tile label={last.phase} value={ago(last.started)} />
      </div>
      {list.length > 1 && (
        <div class="charts">
          <Chart times={times} lines={held} />
          <Chart times={times} lines={written} />
          <Chart times={times} lines={moved} />
        </div>
      )}
      <h2>Connections</h2>
      {last.connections > (connections?.length ?? 0) && connections && (
        <p class="dim">
          {count(connections.length)} of {count(last.connections)}; find the others by name.
        </p>
      )}
      {connections && <Connections list={connections} acts={acts} />}
    </main>
  );
}
