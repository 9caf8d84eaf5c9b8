import { cached, Client, keepLog } from "@holdfast/client";
import { fallback } from "@holdfast/client/fallback";
import { tabs } from "@holdfast/client/tabs";
import { durableOutbox, sessionCache } from "@holdfast/outbox";
import { HoldfastStatus } from "@holdfast/status";
import { ChatView } from "./chat-view.ts";
import { byId, setText } from "./element.ts";
import { FactsView } from "./facts-view.ts";
import { paneTabs } from "./pane-tabs.ts";
import { type Config, fetchToken, harm, loadConfig } from "./server.ts";
import { TaskView } from "./task-view.ts";

const toast = byId("toast", HTMLParagraphElement);
const announcer = byId("announce", HTMLParagraphElement);
let toastTimer: number | undefined;

function tell(text: string): void {
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    toast.hidden = true;
  }, 4_000);
}

function announce(text: string): void {
  announcer.textContent = text;
}

/** All windows of a browser are one person; another browser is another. */
function userName(): string {
  const key = "holdfast-demo:user";
  const kept = localStorage.getItem(key);
  if (kept) return kept;
  const name = `guest-${Math.floor(Math.random() * 36 ** 4)
    .toString(36)
    .padStart(4, "0")}`;
  localStorage.setItem(key, name);
  return name;
}

function showRoom(room: string): void {
  const url = new URL(location.href);
  url.search = `?room=${encodeURIComponent(room)}`;
  history.replaceState(null, "", url);
  const link = byId("room", HTMLAnchorElement);
  link.href = url.href;
  link.textContent = url.href.replace(/^https?:\/\//, "");
  byId("copy", HTMLButtonElement).addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(url.href);
      tell("The link is in your clipboard.");
    } catch {
      tell(`Copy it by hand: ${url.href}`);
    }
  });
}

function offerHarm(client: Client): void {
  const does = (action: "cut" | "blackhole", said: string) => async () => {
    const { connection } = client.stats;
    if (!connection) return tell("There is no connection to harm.");
    try {
      await harm(connection, action);
      announce(said);
    } catch (error) {
      tell(error instanceof Error ? error.message : String(error));
    }
  };
  byId("cut", HTMLButtonElement).addEventListener("click", does("cut", "The connection was cut."));
  byId("blackhole", HTMLButtonElement).addEventListener("click", async () => {
    await does("blackhole", "The connection is a black hole now.")();
    if (client.status.state === "live")
      tell("Nothing gets through any more. Type something, or come back to the window, and it is noticed.");
  });
}

function offerToLeave(client: Client): void {
  const button = byId("leave", HTMLButtonElement);
  const away = () => client.status.state === "idle" || client.status.state === "ended";
  button.addEventListener("click", () => (away() ? client.connect() : client.disconnect()));
  client.onStatus(() => setText(button, away() ? "Connect" : "Disconnect"));
}

function start(config: Config): void {
  const user = config.user ?? userName();
  const url = new URL(config.ws, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const client = new Client({
    url: url.href,
    token: () => fetchToken(user),
    carrier: fallback(),
    link: tabs({ user }),
    outbox: durableOutbox({ scope: user }),
    cache: cached(sessionCache({ scope: user })),
    log: keepLog,
  });
  byId("status", HoldfastStatus).client = client;
  const chats = config.chats.map((place) => ({
    title: place.title,
    root: new ChatView(client, place, user, announce).root,
  }));
  const task = { title: config.task.title, root: new TaskView(client, config.task, user, announce).root };
  const panes = [...chats, task];
  byId("panes", HTMLElement).append(...panes.map(({ root }) => root));
  paneTabs(panes);
  const read = [...config.chats, config.task].map(({ id, title }) => ({ title, session: client.session(id) }));
  new FactsView(client, read);
  showRoom(config.room);
  offerHarm(client);
  offerToLeave(client);
  client.connect();
}

/** A page that is opened while the server is away waits for it. */
async function open(): Promise<void> {
  const room = new URLSearchParams(location.search).get("room");
  for (let pause = 500; ; pause = Math.min(5_000, pause * 2)) {
    try {
      return start(await loadConfig(room));
    } catch (error) {
      tell(error instanceof Error ? error.message : String(error));
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

void open();
