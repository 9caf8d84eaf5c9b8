import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const tmp = fileURLToPath(new URL("../tmp/", import.meta.url));
// Whoever has a server keeps something there.
mkdirSync(tmp, { recursive: true });

/** The program, built once a file. HOLDFAST_TEST_BIN names one that is built already: files that run side by side need that. */
export function buildServer(): string {
  const given = process.env["HOLDFAST_TEST_BIN"];
  if (given) return given;
  const program = `${tmp}holdfast`;
  execFileSync("go", ["build", "-o", program, "./cmd/holdfast"], { cwd: root, stdio: "inherit" });
  return program;
}

/** The real server in development mode, which may be killed and started again over the same data. */
export class DevServer {
  readonly #program: string;
  readonly #data = mkdtempSync(`${tmp}data-`);
  #process: ChildProcess | undefined;
  /** Where the page is; the port stays the same over restarts. */
  url = "";
  /** Where the operator's page is. */
  operator = "";
  #log = "";

  readonly #flags: readonly string[];

  constructor(program: string, ...flags: readonly string[]) {
    this.#program = program;
    this.#flags = flags;
  }

  async start(): Promise<void> {
    const address = this.url ? new URL(this.url).host : "127.0.0.1:0";
    const child = spawn(this.#program, ["dev", "--addr", address, "--data", this.#data, ...this.#flags], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    child.stderr.on("data", (text) => {
      this.#log += String(text);
    });
    this.url = await new Promise((resolve, reject) => {
      let said = "";
      child.stdout.on("data", (text) => {
        said += String(text);
        const found = /(http:\/\/\S+)[^]*operator's page is at (http:\/\/[^,\s]+)/.exec(said);
        this.operator = found?.[2] ?? "";
        if (found?.[1]) resolve(found[1]);
      });
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${said}${this.#log}`)));
    });
  }

  /** A token of a backend. */
  backend(): string {
    const args = ["token", "--backend", "--secret-file", `${this.#data}/dev.secret`];
    return String(execFileSync(this.#program, args)).trim();
  }

  /** What lets an operator act, or only look. */
  password(to: "act" | "look" = "act"): string {
    return readFileSync(`${this.#data}/dev.${to}.secret`, "utf8").trim();
  }

  /** What operators have done. */
  audit(): readonly Record<string, unknown>[] {
    const lines = readFileSync(`${this.#data}/audit.log`, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Gives it no chance to say or write anything. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#data, { recursive: true, force: true });
  }
}
