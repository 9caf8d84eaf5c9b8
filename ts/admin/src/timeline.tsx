import { useState } from "preact/hooks";
import { look, type TimelineRecord } from "./api.ts";
import { Name, Problem, useLook } from "./parts.tsx";
import { clock, day, lasted, sentence } from "./words.ts";

const sources = ["server", "client", "log"] as const;

/** How long a silence is shown as one, in ms. */
const SILENCE = 5000;

function Row({ record, before }: { record: TimelineRecord; before: TimelineRecord | undefined }) {
  const silence = before ? Date.parse(record.at) - Date.parse(before.at) : 0;
  return (
    <>
      {silence >= SILENCE && <li class="silence">{lasted(silence)}</li>}
      <li class={`record ${record.source} ${record.event}`}>
        <time dateTime={record.at} title={day(record.at)}>
          {clock(record.at)}
        </time>
        <span class="source">{record.source}</span>
        <span class="what">
          {sentence(record)}
          <span class="who">
            {record.session && <Name kind="session" name={record.session} />}
            {record.user && <Name kind="user" name={record.user} />}
            {record.client && <span class="dim">{record.client}</span>}
            {record.conn && <Name kind="conn" name={record.conn} />}
          </span>
        </span>
      </li>
    </>
  );
}

/** What happened, on one clock: what the server saw, what clients say of themselves, what stands in the log. */
export function Timeline({ of }: { of: Record<string, string> }) {
  const [hidden, hide] = useState<string[]>([]);
  const { value, error } = useLook(() => look<TimelineRecord[]>("timeline", of), 3000, JSON.stringify(of));
  const shown = value?.filter(({ source }) => !hidden.includes(source)) ?? [];
  const flip = (source: string) =>
    hide((now) => (now.includes(source) ? now.filter((x) => x !== source) : [...now, source]));
  return (
    <section>
      <h2>Timeline</h2>
      <div class="chips">
        {sources.map((source) => (
          <button
            key={source}
            class={`chip ${source}`}
            aria-pressed={!hidden.includes(source)}
            onClick={() => flip(source)}
          >
            {source}
          </button>
        ))}
      </div>
      <Problem error={error} />
      {value && !shown.length && <p class="none">Nothing is remembered.</p>}
      <ol class="timeline">
        {shown.map((record, i) => (
          <Row key={`${record.at} ${record.event} ${i}`} record={record} before={shown[i - 1]} />
        ))}
      </ol>
    </section>
  );
}
