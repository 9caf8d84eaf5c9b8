import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A browser's processes: one group, and a profile that goes with it. */
export class BrowserProcess {
  readonly profile: string;
  readonly #child: ChildProcess;
  readonly #group: number;

  private constructor(profile: string, child: ChildProcess) {
    this.profile = profile;
    this.#child = child;
    if (child.pid === undefined) throw new Error("the browser did not start");
    this.#group = child.pid;
  }

  /** Starts it and waits until it has said where it listens. */
  static async start(
    program: string,
    args: (profile: string) => readonly string[],
    says: RegExp,
  ): Promise<{ process: BrowserProcess; address: string }> {
    const profile = mkdtempSync(join(tmpdir(), "holdfast-browser-"));
    // A group of its own: it can be stopped and ended as a whole, and nothing else with it.
    const child = spawn(program, args(profile), { detached: true, stdio: ["ignore", "ignore", "pipe"] });
    const browser = new BrowserProcess(profile, child);
    const address = await new Promise<string>((resolve, reject) => {
      let said = "";
      child.stderr?.on("data", (text) => {
        said = (said + String(text)).slice(-20_000);
        const found = says.exec(said)?.[1];
        if (found) resolve(found);
      });
      child.once("error", reject);
      child.once("exit", () => reject(new Error(`the browser ended: ${said}`)));
    });
    return { process: browser, address };
  }

  signal(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.#group, signal);
    } catch {
      // It is gone.
    }
  }

  async close(): Promise<void> {
    const gone = this.#child.exitCode !== null || this.#child.signalCode !== null;
    this.signal("SIGKILL");
    if (!gone) await once(this.#child, "exit");
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
