import { type Connection, look, type Session as SessionView } from "./api.ts";
import { Act, Connections, Problem, useLook } from "./parts.tsx";
import { Revoke } from "./revoke.tsx";
import { Timeline } from "./timeline.tsx";
import { ago, bytes, count } from "./words.ts";

export function User({ name, acts }: { name: string; acts: boolean }) {
  const { value, error } = useLook(() => look<Connection[]>("connections", { user: name }), 3000, name);
  return (
    <main>
      <h1>{name}</h1>
      <Problem error={error} />
      {value && <Connections list={value} acts={acts} />}
      {acts && value && value.length > 1 && (
        <Act what="disconnect" to={{ user: name }}>
          Disconnect all
        </Act>
      )}
      {acts && <Revoke of={{ user: name }} clients={[...new Set(value?.map(({ client }) => client))]} />}
      <Timeline of={{ user: name }} />
    </main>
  );
}

export const Conn = ({ name }: { name: string }) => (
  <main>
    <h1>{name}</h1>
    <Timeline of={{ conn: name }} />
  </main>
);

export function Session({ name, acts }: { name: string; acts: boolean }) {
  const { value, error } = useLook(() => look<SessionView>("session", { session: name }), 3000, name);
  return (
    <main>
      <h1>{name}</h1>
      <Problem error={error} />
      {value && (
        <>
          <p>
            {value.head
              ? `${count(value.entries)} entries, ${value.first} to ${value.head}, ${bytes(value.bytes)}`
              : "empty"}
            {value.head > 0 && (
              <span class="dim">
                ; begun {ago(value.created)} ago, changed {ago(value.changed)} ago
              </span>
            )}
          </p>
          {value.open.map((run) => (
            <p key={run.run} class="run">
              Run {run.run} is open: {count(run.fragments)} fragments, {bytes(run.bytes)}; last heard {ago(run.changed)}{" "}
              ago
              {run.stop && `, stop ${run.stop}`}{" "}
              {acts && (
                <Act what="end-run" to={{ session: name, run: run.run }}>
                  End it
                </Act>
              )}
            </p>
          ))}
          <h2>Readers</h2>
          <Connections list={value.readers} acts={acts} />
        </>
      )}
      {acts && <Revoke of={{ session: name }} />}
      <Timeline of={{ session: name }} />
    </main>
  );
}
