import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Tab } from "./browser.ts";
import { BrowserProcess } from "./process.ts";
import { type Params, Remote } from "./socket.ts";

const PREFERENCES = {
  "app.update.enabled": false,
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "remote.active-protocols": 1,
  "toolkit.telemetry.enabled": false,
};

/** A stock Firefox by WebDriver BiDi. It knows no freezing, and its own back/forward cache is off while it is driven. */
export class Firefox implements Browser {
  readonly kind = "firefox";
  readonly #process: BrowserProcess;
  readonly #remote: Remote;

  private constructor(process: BrowserProcess, remote: Remote) {
    this.#process = process;
    this.#remote = remote;
  }

  static async start(): Promise<Firefox> {
    const { process: started, address } = await BrowserProcess.start(
      process.env["HOLDFAST_TEST_FIREFOX"] ?? "firefox",
      (profile) => {
        const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${value});`);
        writeFileSync(join(profile, "user.js"), lines.join("\n"));
        return ["--headless", "--no-remote", "--remote-debugging-port=0", "--profile", profile, "about:blank"];
      },
      /WebDriver BiDi listening on (ws:\S+)/,
    );
    const remote = await Remote.connect(`${address}/session`);
    await remote.send("session.new", { capabilities: {} });
    return new Firefox(started, remote);
  }

  async open(url: string): Promise<Tab> {
    const { context } = await this.#remote.send("browsingContext.create", { type: "tab" });
    const tab = new FirefoxTab(this.#remote, String(context));
    await tab.show();
    if (url !== "about:blank") await tab.navigate(url);
    return tab;
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

class FirefoxTab implements Tab {
  readonly #remote: Remote;
  readonly #context: string;

  constructor(remote: Remote, context: string) {
    this.#remote = remote;
    this.#context = context;
  }

  async ask<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = (await this.#remote.send("script.evaluate", {
      expression: `Promise.resolve(${expression}).then((value) => JSON.stringify(value))`,
      target: { context: this.#context },
      awaitPromise: true,
      userActivation: true,
    })) as { result?: { value?: string }; exceptionDetails?: { text: string } };
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return (result?.value === undefined ? undefined : JSON.parse(result.value)) as T;
  }

  async show(): Promise<void> {
    await this.#send("browsingContext.activate");
  }

  async navigate(url: string): Promise<void> {
    await this.#send("browsingContext.navigate", { url, wait: "complete" });
  }

  async back(): Promise<void> {
    await this.#send("browsingContext.traverseHistory", { delta: -1 });
  }

  async reload(): Promise<void> {
    await this.#send("browsingContext.reload", { wait: "complete" });
  }

  async close(): Promise<void> {
    await this.#send("browsingContext.close");
  }

  #send(method: string, params: Params = {}): Promise<Params> {
    return this.#remote.send(method, { context: this.#context, ...params });
  }
}
