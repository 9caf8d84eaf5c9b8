import type { Event } from "./connection-types.ts";
import type { Cancel, Env, PageSignal } from "./env/env.ts";

/** Wake signals come in bunches: resume, visible, pageshow and focus within milliseconds are one. */
const ONE_WAKE = 50;
const TICK = 1_000;
/** A tick that is later by so much was not late but asleep; by more, a connection hardly outlived it. */
const JUMP = 3_000;
const LONG = 30_000;
/** How long the connection of a hidden page is kept, and from when on a phone's is doubtful in earnest. */
const LINGER = 300_000;
const LINGER_MOBILE = 60_000;
const POCKET = 5_000;

/** After these a connection hardly lives: the page was stopped, or the network is another one. */
const GRAVE = /resumed|restored|network/;

/** Turns what happens to the page into events, and calls `tick` each second, until cancelled. */
export function watchPage(env: Env, on: (event: Event) => void, tick: () => void): Cancel {
  let cancelTick: Cancel;
  let tickAt = 0;
  let hiddenAt = 0;
  let offline = false;
  /** The latest wake: when, and what it said. */
  let wokeAt = 0;
  let told = "";

  const hide = () => {
    hiddenAt ||= env.now();
    // What is said after this is news, however soon.
    told = "";
    on({ type: "hidden", linger: env.mobile ? LINGER_MOBILE : LINGER });
  };

  const wake = (certain: boolean, hidden: boolean) => {
    const now = env.now();
    const news = `${certain} ${hidden}`;
    // The clock of a page that was hidden was slow: its first tick tells of no sleep.
    tickAt = now;
    if (!hidden) hiddenAt = 0;
    if (news === told && Math.abs(now - wokeAt) < ONE_WAKE) return;
    wokeAt = now;
    told = news;
    on({ type: "wake", certain, hidden });
  };

  const signal = (name: PageSignal) => {
    switch (name) {
      case "hidden":
        return hide();
      case "stored":
      case "leaving":
        return on({ type: "sleep", park: name === "stored" });
      case "offline":
        offline = true;
        return on({ type: "suspect" });
    }
    const pocketed = env.mobile && hiddenAt > 0 && env.now() - hiddenAt > POCKET;
    const reconnected = name === "online" && offline;
    if (reconnected) offline = false;
    wake(GRAVE.test(name) || reconnected || pocketed, name !== "focus" && !env.visible());
  };

  /** A laptop that slept fires no event at all; only the clock shows it. A hidden page's timers are merely slow. */
  const nextTick = () => {
    tickAt = env.now();
    cancelTick = env.timer(() => {
      const late = env.now() - tickAt - TICK;
      if (Math.abs(late) > JUMP && !hiddenAt) wake(late > LONG, false);
      tick();
      nextTick();
    }, TICK);
  };

  const stop = env.signals(signal);
  if (!env.visible()) hide();
  nextTick();
  return () => {
    stop();
    cancelTick();
  };
}
