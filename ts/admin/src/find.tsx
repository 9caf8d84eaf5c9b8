import { useState } from "preact/hooks";
import { look, type Names } from "./api.ts";
import { Name, Problem, useLook } from "./parts.tsx";

const kinds = [
  ["Users", "user", "users"],
  ["Sessions", "session", "sessions"],
  ["Connections", "conn", "conns"],
] as const;

export function Find() {
  const [q, set] = useState("");
  const { value, error } = useLook(() => look<Names>("search", { q }), 10_000, q);
  return (
    <main>
      <input
        class="find"
        type="search"
        placeholder="The beginning of a user's, session's or connection's name"
        value={q}
        onInput={(event) => set(event.currentTarget.value)}
        autofocus
      />
      <Problem error={error} />
      {value &&
        kinds.map(([title, kind, names]) => (
          <section key={kind}>
            <h2>{title}</h2>
            {value[names].length ? (
              <ul class="names">
                {value[names].map((name) => (
                  <li key={name}>
                    <Name kind={kind} name={name} />
                  </li>
                ))}
              </ul>
            ) : (
              <p class="none">None.</p>
            )}
          </section>
        ))}
    </main>
  );
}
