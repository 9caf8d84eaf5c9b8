import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What an example may use that it does not make: it stands in the example before it, or is the application's. */
const GIVEN = `
import type { Client, MessageEntry, RunEntry, Session } from "@holdfast/client";
declare global {
  const client: Client;
  const chat: Session;
  const run: RunEntry;
  const message: MessageEntry;
  function render(...what: readonly unknown[]): void;
  const useSyncExternalStore: typeof import("react").useSyncExternalStore;
}
`;

const pages = ["../README.md", ...readdirSync(`${root}packages`).map((name) => `packages/${name}/README.md`)];

/** The examples of a page, each as a module of its own beside it, so that it sees the packages as a program does. */
const examples = pages.flatMap((page) => {
  const blocks = [...readFileSync(root + page, "utf8").matchAll(/^```(tsx?)\n([\s\S]*?)^```/gm)];
  return blocks.map(([, kind, code = ""], i) => ({
    name: `${page} ${i + 1}`,
    file: `${root}test/${page.replaceAll("/", "-")}-${i + 1}.${kind}`,
    code: `${code}\nexport {};\n`,
  }));
});

/** Compiles all examples at once, from memory, and gives what the compiler says of each. */
function compiled(): ReadonlyMap<string, readonly string[]> {
  const sources = new Map(examples.map(({ file, code }) => [file, code]));
  sources.set(`${root}test/given.d.ts`, GIVEN);
  const config = ts.readConfigFile(`${root}test/tsconfig.json`, ts.sys.readFile).config as object;
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, `${root}test`);
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  host.fileExists = (file) => sources.has(file) || fileExists(file);
  host.readFile = (file) => sources.get(file) ?? readFile(file);
  host.getSourceFile = (file, target, ...more) => {
    const code = sources.get(file);
    return code === undefined ? getSourceFile(file, target, ...more) : ts.createSourceFile(file, code, target);
  };
  const program = ts.createProgram([...sources.keys()], options, host);
  const said = new Map<string, string[]>();
  for (const { file, messageText } of ts.getPreEmitDiagnostics(program)) {
    const name = file?.fileName ?? "";
    said.set(name, [...(said.get(name) ?? []), ts.flattenDiagnosticMessageText(messageText, "\n")]);
  }
  return said;
}

describe("the examples of the READMEs compile", () => {
  const said = compiled();

  it("all of them were looked at, with nothing else in the way", () => {
    expect(examples.length).toBeGreaterThan(6);
    const files = new Set(examples.map(({ file }) => file));
    expect([...said].filter(([file]) => !files.has(file))).toEqual([]);
  });

  it.each(examples)("$name", ({ file }) => {
    expect(said.get(file) ?? []).toEqual([]);
  });
});
