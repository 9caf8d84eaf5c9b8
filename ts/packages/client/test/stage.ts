import { beforeEach, expect } from "vitest";
import { Client, type ClientOptions } from "../src/client.ts";
import { FakeEnv } from "./fake-env.ts";
import { FakeServer } from "./fake-server.ts";

/** The world of the test that runs, and the server in it: new ones for each test of the file that imports them. */
export let env: FakeEnv;
export let server: FakeServer;

beforeEach(() => {
  env = new FakeEnv();
  env.seed(7);
  server = new FakeServer(env);
});

export function make(options: Partial<ClientOptions> = {}): Client {
  return new Client({ url: "wss://host/v1/ws", token: "tok", env, ...options });
}

export async function connected(options: Partial<ClientOptions> = {}): Promise<Client> {
  const client = make(options);
  client.connect();
  await env.settle();
  expect(client.status.state).toBe("live");
  return client;
}

export const texts = (list: readonly { readonly data: unknown }[]) => list.map((e) => e.data);
