/** One bar: its label, and what it shows in ms; Infinity for never. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly ours: boolean;
}

export interface Group {
  readonly title: string;
  readonly bars: readonly Bar[];
}

const WIDTH = 880;
const LEFT = 130;
const RIGHT = 790;
const BAR = 13;
const STEP = 17;
/** The ends of the scale, in ms: below the first nobody sees anything, the last is how long a client is waited for. */
const FROM = 30;
const TO = 80_000;
const TICKS = [100, 300, 1_000, 3_000, 10_000, 30_000];

const x = (ms: number) =>
  LEFT + ((RIGHT - LEFT) * Math.log(Math.min(TO, Math.max(FROM, ms)) / FROM)) / Math.log(TO / FROM);

export function seconds(ms: number): string {
  if (!Number.isFinite(ms)) return "never";
  const s = ms / 1_000;
  const digits = s < 0.995 ? 2 : s < 9.95 ? 1 : 0;
  return `${s.toFixed(digits)} s`;
}

/** A picture of groups of bars on one logarithmic scale. It has its own ground, so that it is legible on every page. */
export function chart(title: string, note: string, groups: readonly Group[]): string {
  const parts: string[] = [];
  let y = 92;
  for (const { title, bars } of groups) {
    parts.push(`<text class="t" x="40" y="${y}">${escaped(title)}</text>`);
    y += 9;
    for (const bar of bars) {
      parts.push(drawn(bar, y));
      y += STEP;
    }
    y += 26;
  }
  const height = y + 6;
  const ticks = TICKS.map(
    (ms) =>
      `<path class="g" d="M${x(ms).toFixed(1)} 72 V${y - 20}"/>` +
      `<text class="s" x="${x(ms).toFixed(1)}" y="66" text-anchor="middle">${ms / 1_000} s</text>`,
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(`${title} ${groups.map((group) => group.title).join(", ")}`)}">`,
    STYLE,
    `<rect class="ground" x="0.5" y="0.5" width="${WIDTH - 1}" height="${height - 1}" rx="14"/>`,
    `<text class="h" x="40" y="36">${escaped(title)}</text>`,
    `<text class="s" x="${RIGHT}" y="36" text-anchor="end">${escaped(note)}</text>`,
    ...ticks,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

function drawn({ label, value, ours }: Bar, y: number): string {
  const width = (x(value) - LEFT).toFixed(1);
  const kind = ours ? "us" : Number.isFinite(value) ? "b" : "b n";
  const middle = y + BAR - 3;
  return [
    `<text class="${ours ? "o" : "s"}" x="${LEFT - 8}" y="${middle}" text-anchor="end">${escaped(label)}</text>`,
    `<rect class="${kind}" x="${LEFT}" y="${y}" width="${width}" height="${BAR}" rx="3"/>`,
    `<text class="${ours ? "o" : "s"}" x="${(LEFT + Number(width) + 7).toFixed(1)}" y="${middle}">${seconds(value)}</text>`,
  ].join("");
}

const escaped = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

const STYLE = `<style>
text { font-family: system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f1f1d; }
.h { font-size: 17px; font-weight: 600; } .t { font-size: 13.5px; font-weight: 600; } .o { font-size: 12px; font-weight: 600; fill: #1f6f63; }
.s { font-size: 12px; fill: #6b6a66; } .g { stroke: #e2ded6; } .ground { fill: #fffefb; stroke: #e2ded6; }
.us { fill: #1f6f63; } .b { fill: #c3bcae; } .n { fill-opacity: 0.5; stroke: #a39b8b; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) {
text { fill: #ebe8e1; } .o { fill: #6cc7b6; } .s { fill: #a19d94; } .g { stroke: #34322d; } .ground { fill: #1b1a17; stroke: #34322d; }
.us { fill: #4fb3a1; } .b { fill: #5c574d; } .n { stroke: #857e70; }
}
</style>`;
