import { centrifuge } from "./centrifuge.ts";
import { Harness, type Harnessed } from "./harness.ts";
import { ours } from "./ours.ts";
import { partysocket } from "./partysocket.ts";
import { phoenix } from "./phoenix.ts";
import type { ClientName, PageConfig } from "./report.ts";
import { socketio } from "./socketio.ts";

declare global {
  var rig: Harness;
}

const START: Record<ClientName, (harness: Harness) => Harnessed> = { ours, socketio, centrifuge, phoenix, partysocket };

const config = JSON.parse(new URL(location.href).searchParams.get("config") ?? "{}") as PageConfig;
globalThis.rig = new Harness(config);
rig.runs(START[config.client](rig));
