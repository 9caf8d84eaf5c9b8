import { useState } from "preact/hooks";
import { look, type Revocation, type Revoked } from "./api.ts";
import { Act, Problem, useLook } from "./parts.tsx";
import { clock, day, revoked, several } from "./words.ts";

const WORDS = ["user", "client", "session", "token", "reason"] as const;
const ACTIONS = ["read", "send", "stop"];

type Words = Partial<Record<(typeof WORDS)[number], string>>;

const HINTS: Words = {
  client: "one device alone",
  session: "an id, or chat-*",
  token: "one token, by its jti",
};

/** What came of it. */
const came = ({ closed, changed }: Revoked) =>
  `revoked: ${several(closed, "connection")} ended, ${several(changed, "other")} may do less`;

/** Takes back what tokens allow; `of` is what is meant at first, `clients` are devices to choose from. */
export function Revoke({ of, clients = [] }: { of: Words; clients?: readonly string[] }) {
  const [words, set] = useState<Words>(of);
  const [actions, choose] = useState<readonly string[]>([]);
  const said = Object.entries(words).filter(([, value]) => value);
  const order = { ...Object.fromEntries(said), ...(actions.length > 0 && { actions }) } as Words & {
    actions?: string[];
  };
  return (
    <details class="revoke">
      <summary>Revoke…</summary>
      {WORDS.map((word) => (
        <label key={word}>
          {word}
          <input
            name={word}
            value={words[word] ?? ""}
            placeholder={HINTS[word] ?? ""}
            list={word === "client" ? "clients" : undefined}
            autocomplete="off"
            autocapitalize="none"
            spellcheck={word === "reason"}
            onInput={({ currentTarget: { value } }) => set((now) => ({ ...now, [word]: value }))}
          />
        </label>
      ))}
      <datalist id="clients">
        {clients.map((client) => (
          <option key={client} value={client} />
        ))}
      </datalist>
      <Actions chosen={actions} choose={choose} />
      <p>Takes back {revoked(order)}, as far as tokens issued until now allow it.</p>
      <Act key={JSON.stringify(order)} what="revoke" to={order} told={came}>
        Revoke
      </Act>
    </details>
  );
}

function Actions({ chosen, choose }: { chosen: readonly string[]; choose: (all: readonly string[]) => void }) {
  return (
    <fieldset>
      <legend>actions, none for all</legend>
      {ACTIONS.map((action) => (
        <label key={action}>
          <input
            type="checkbox"
            checked={chosen.includes(action)}
            onInput={({ currentTarget: { checked } }) =>
              choose(ACTIONS.filter((other) => (other === action ? checked : chosen.includes(other))))
            }
          />
          {action}
        </label>
      ))}
    </fieldset>
  );
}

const moment = (at: string) => `${day(at)} ${clock(at).slice(0, 5)}`;

/** What is revoked, and the way to give it back. */
export function Revocations({ acts }: { acts: boolean }) {
  const { value, error } = useLook(() => look<Revocation[]>("revocations"), 3000, "revocations");
  return (
    <main>
      <h1>Revoked</h1>
      <Problem error={error} />
      {value && !value.length && <p class="none">Nothing is revoked.</p>}
      <ul class="revocations">
        {value?.map((r) => (
          <li key={r.id}>
            <div class="what">{revoked(r)}</div>
            <div class="dim">
              {r.reason && `${r.reason}; `}since {moment(r.at)}
              {r.until && `, until ${moment(r.until)}`}
            </div>
            {acts && (
              <div class="acts">
                <Act what="restore" to={{ id: r.id }}>
                  Give back
                </Act>
              </div>
            )}
          </li>
        ))}
      </ul>
      {acts && <Revoke of={{}} />}
    </main>
  );
}
