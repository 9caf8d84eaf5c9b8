import { until } from "../tools.ts";
import type { Browser, Tab } from "./browser.ts";
import { BrowserProcess } from "./process.ts";
import { type Params, Remote } from "./socket.ts";

export interface ChromiumOptions {
  /** As of --enable-features and --disable-features. */
  readonly enable?: readonly string[];
  readonly disable?: readonly string[];
}

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--remote-debugging-port=0",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-gpu",
  "--mute-audio",
];

/**
 * Chromium by its own protocol. A driver made for tests would keep pages from being hidden, throttled, frozen and put
 * into the back/forward cache, and that is what this is about.
 */
export class Chromium implements Browser {
  readonly kind = "chromium";
  readonly #process: BrowserProcess;
  readonly #remote: Remote;

  private constructor(process: BrowserProcess, remote: Remote) {
    this.#process = process;
    this.#remote = remote;
  }

  static async start({ enable = [], disable = [] }: ChromiumOptions = {}): Promise<Chromium> {
    const features = [
      ...(enable.length ? [`--enable-features=${enable.join(",")}`] : []),
      ...(disable.length ? [`--disable-features=${disable.join(",")}`] : []),
    ];
    const { process: started, address } = await BrowserProcess.start(
      process.env["HOLDFAST_TEST_CHROMIUM"] ?? "chromium",
      (profile) => [...FLAGS, ...features, `--user-data-dir=${profile}`, "about:blank"],
      /DevTools listening on (ws:\S+)/,
    );
    return new Chromium(started, await Remote.connect(address));
  }

  async open(url: string): Promise<ChromiumTab> {
    const { targetId } = await this.#remote.send("Target.createTarget", { url: "about:blank" });
    const tab = await this.attach(String(targetId));
    await tab.show();
    if (url !== "about:blank") await tab.navigate(url);
    return tab;
  }

  async attach(target: string): Promise<ChromiumTab> {
    const { sessionId } = await this.#remote.send("Target.attachToTarget", { targetId: target, flatten: true });
    const tab = new ChromiumTab(this.#remote, target, String(sessionId));
    await tab.send("Page.enable");
    return tab;
  }

  /** The pages that are open, by their ids. */
  async targets(): Promise<readonly string[]> {
    const { targetInfos } = await this.#remote.send("Target.getTargets");
    return (targetInfos as { targetId: string; type: string }[])
      .filter(({ type }) => type === "page")
      .map(({ targetId }) => targetId);
  }

  /** The processes that render pages, and how long each has worked, in s. */
  async renderers(): Promise<readonly (readonly [id: number, cpu: number])[]> {
    const { processInfo } = await this.#remote.send("SystemInfo.getProcessInfo");
    return (processInfo as { type: string; id: number; cpuTime: number }[])
      .filter(({ type }) => type === "renderer")
      .map(({ id, cpuTime }) => [id, cpuTime] as const);
  }

  suspend(): void {
    this.#process.signal("SIGSTOP");
  }

  resume(): void {
    this.#process.signal("SIGCONT");
  }

  async close(): Promise<void> {
    this.#remote.close();
    await this.#process.close();
  }
}

export class ChromiumTab implements Tab {
  readonly target: string;
  readonly #remote: Remote;
  readonly #session: string;

  constructor(remote: Remote, target: string, session: string) {
    this.#remote = remote;
    this.target = target;
    this.#session = session;
  }

  send(method: string, params: Params = {}): Promise<Params> {
    return this.#remote.send(method, params, this.#session);
  }

  async ask<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = (await this.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    })) as { result: { value: T }; exceptionDetails?: { exception?: { description?: string }; text: string } };
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  async show(): Promise<void> {
    await this.send("Page.bringToFront");
  }

  async freeze(): Promise<void> {
    await this.send("Page.setWebLifecycleState", { state: "frozen" });
  }

  async thaw(): Promise<void> {
    await this.send("Page.setWebLifecycleState", { state: "active" });
  }

  async offline(offline: boolean): Promise<void> {
    await this.send("Network.enable");
    const none = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
    await this.send("Network.emulateNetworkConditions", { offline, ...none });
  }

  async navigate(url: string): Promise<void> {
    await this.send("Page.navigate", { url });
    await this.#loaded();
  }

  async back(): Promise<void> {
    const { currentIndex, entries } = (await this.send("Page.getNavigationHistory")) as {
      currentIndex: number;
      entries: { id: number }[];
    };
    await this.send("Page.navigateToHistoryEntry", { entryId: entries[currentIndex - 1]?.id });
    await this.#loaded();
  }

  async reload(): Promise<void> {
    await this.ask("globalThis.reloading = true");
    await this.send("Page.reload");
    await until(10_000, () => this.ask<boolean>("!globalThis.reloading").catch(() => false), "the reload");
    await this.#loaded();
  }

  async close(): Promise<void> {
    await this.#remote.send("Target.closeTarget", { targetId: this.target });
  }

  /** Waits for the document's scripts, modules too. */
  async #loaded(): Promise<void> {
    await until(10_000, () => this.ask<boolean>("document.readyState === 'complete'").catch(() => false), "the page");
  }
}
