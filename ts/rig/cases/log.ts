import type { Stage } from "../stage.ts";
import { until } from "../tools.ts";
import type { Case } from "./case.ts";

interface Shown {
  readonly kind: string;
  readonly text?: string;
  readonly status?: string;
  readonly data: unknown;
}

const copies = (entries: readonly { readonly data: unknown }[], text: string) =>
  entries.filter(({ data }) => (data as { text?: string } | null)?.text === text).length;

/** What stands in the log, and what the page makes of it. */
export const log: readonly Case[] = [
  {
    id: 41,
    title: "acks lost over two connections and a reload; the message is sent again and again",
    setup: { rate: 0 },
    async run(s) {
      const [session] = s.config.sessions;
      if (session === undefined) return;
      s.from(Date.now());
      await s.page.call("send", session, "once");
      for (let i = 0; i < 2; i++) await loseAck(s);
      await s.page.tab.reload();
      await s.page.becomes("live");
      await until(10_000, async () => (await s.page.report()).unsent === 0, "the ack");
      await s.wait(1_000);
      const written = copies(await s.holdfast.log(session), "once");
      s.expect(written === 1, `it was written once; it is there ${written} times`);
      const shown = copies(await s.page.call<readonly Shown[]>("entries", session), "once");
      s.expect(shown === 1, `it is shown once; it is shown ${shown} times`);
    },
  },
  {
    id: 42,
    title: "a stream of tokens cut at its last piece; back after 5 min",
    target: 450,
    dials: 1,
    scaled: "20 s",
    setup: { rate: 0 },
    async run(s) {
      const runs = "/v1/sessions/rig/runs";
      const { run, fence } = (await s.holdfast.api("POST", runs, { id: "answer" })) as { run: number; fence: number };
      const words = Array.from({ length: 200 }, (_, i) => `word ${i} `);
      for (const [after, text] of words.entries()) {
        if (after === words.length - 1) {
          await s.hide();
          s.proxy.zombify();
        }
        await s.holdfast.api("POST", `${runs}/${run}/fragments`, { fence, after, fragments: [{ text }] });
      }
      await s.holdfast.api("POST", `${runs}/${run}/end`, { fence, status: "complete" });
      await s.wait(20_000);
      const event = s.from(await s.show());
      const ask = `(rig.call("entries", "rig") ?? []).some(({ status }) => status === "complete") ? rig.now() : 0`;
      let at = 0;
      for (let i = 0; i < 400 && !at; i++) {
        at = await s.page.tab.ask<number>(ask);
        await s.wait(10);
      }
      const [shown] = (await s.page.call<readonly Shown[]>("entries", "rig")).filter(({ kind }) => kind === "run");
      s.expect(shown?.text === words.join(""), "the text is what was written");
      return at ? at - event : Infinity;
    },
  },
  {
    id: 43,
    title: "what was missed is no longer in the log: a snapshot, and the page is told",
    scaled: "the log is deleted and begun anew, since retention runs too rarely to be waited for",
    target: 450,
    dials: 1,
    shows: "all after a gap",
    async run(s) {
      await s.hide();
      s.proxy.zombify();
      await s.writer.stop();
      await s.holdfast.api("DELETE", "/v1/sessions/rig");
      await s.writer.write(300);
      s.writer.start();
      await s.wait(10_000);
      const event = await s.show();
      const figure = await s.back(event);
      const { outcomes, renders } = await s.page.report();
      s.note(`outcome ${outcomes["rig"]}`);
      s.expect(outcomes["rig"] !== "continuous", "the page was told that something is missing");
      const large = renders.filter(([at, added]) => at >= event && added > 10).length;
      s.expect(large === 1, `one redraw; there were ${large}`);
      return figure;
    },
  },
];

/** Waits for the next connection and lets it carry what the client sends, but not the answer. */
async function loseAck(s: Stage): Promise<void> {
  const before = s.proxy.dials().length;
  s.proxy.mute();
  await until(20_000, () => s.proxy.dials().length > before, "another dial");
  // A round trip for the handshake, one for the hello; then the message is on its way up.
  await s.wait(270);
}
