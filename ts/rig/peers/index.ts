import type { Backend } from "../backend.ts";
import type { ClientName } from "../page/report.ts";
import { centrifuge } from "./centrifuge.ts";
import { partysocket } from "./partysocket.ts";
import { phoenix } from "./phoenix.ts";
import { socketio } from "./socketio.ts";

export const PEERS: Readonly<Record<Exclude<ClientName, "ours">, () => Promise<Backend>>> = {
  socketio,
  centrifuge,
  phoenix,
  partysocket,
};
