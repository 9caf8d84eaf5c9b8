import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { act, type Connection, Refusal } from "./api.ts";
import { ago } from "./words.ts";

export const place = (kind: string, name: string) => `#/${kind}/${encodeURIComponent(name)}`;

export function Name({ kind, name }: { kind: "user" | "session" | "conn"; name: string }) {
  return (
    <a class="name" href={place(kind, name)}>
      {name}
    </a>
  );
}

/** Asks again and again while it is shown. The last answer stays when one fails, with the reason. */
export function useLook<T>(ask: () => Promise<T>, every: number, on: string): { value?: T; error?: string } {
  const [state, set] = useState<{ value?: T; error?: string; on: string }>({ on });
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let gone = false;
    const again = async () => {
      try {
        const value = await ask();
        if (!gone) set({ value, on });
      } catch (reason) {
        const error = reason instanceof Refusal ? reason.message : "the server cannot be reached";
        if (!gone) set((before) => ({ ...(before.on === on ? before : { on }), error }));
      }
      if (!gone) timer = setTimeout(() => void again(), document.hidden ? 10 * every : every);
    };
    void again();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, [on]);
  return state.on === on ? state : {};
}

export const Problem = ({ error }: { error: string | undefined }) => (error ? <p class="problem">{error}</p> : null);

/** A button that asks once more before it acts, and then shows what `told` makes of the answer. */
export function Act<T>({
  what,
  to,
  told,
  children,
}: {
  what: string;
  to: object;
  told?: (answer: T) => string;
  children: ComponentChildren;
}) {
  const [stage, set] = useState<"idle" | "sure" | "done" | string>("idle");
  const press = async () => {
    if (stage !== "sure") {
      set("sure");
      setTimeout(() => set((now) => (now === "sure" ? "idle" : now)), 4000);
      return;
    }
    try {
      const answer = await act<T>(what, to);
      set(told?.(answer) ?? "done");
    } catch (reason) {
      set(reason instanceof Error ? reason.message : "failed");
    }
  };
  const label = stage === "idle" ? children : stage === "sure" ? "Sure?" : stage;
  return (
    <button class={stage === "sure" ? "sure" : ""} onClick={() => void press()}>
      {label}
    </button>
  );
}

export function Connections({ list, acts }: { list: Connection[]; acts: boolean }) {
  if (!list.length) return <p class="none">None is connected.</p>;
  return (
    <ul class="connections">
      {list.map((c) => (
        <li key={c.conn}>
          <div>
            <Name kind="user" name={c.user} /> <span class="dim">{c.client}</span>
          </div>
          <div class="dim">
            <Name kind="conn" name={c.conn} /> {c.transport}, {c.remote}, {c.agent} for {ago(c.since)}
          </div>
          <div>
            {(c.sessions ?? []).map((session) => (
              <Name key={session} kind="session" name={session} />
            ))}
          </div>
          {acts && (
            <div class="acts">
              <Act what="report" to={{ conn: c.conn }}>
                Fetch its log
              </Act>
              <Act what="disconnect" to={{ conn: c.conn }}>
                Disconnect
              </Act>
            </div>
          )}
        </li>
      ))}
    </ul>
  );
}
