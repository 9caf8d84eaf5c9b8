import { once } from "node:events";
import type { Server } from "node:http";

export async function listening(http: Server): Promise<number> {
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const address = http.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Closes a server and does not wait for those who hold on to it. */
export async function closed(http: Server): Promise<void> {
  http.close();
  http.closeAllConnections();
}
