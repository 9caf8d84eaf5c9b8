import { useSession } from "@holdfast/react";
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Client, type RunEntry } from "@holdfast/client";

const query = new URLSearchParams(location.search);
const url = new URL("/v1/ws", location.href);
url.protocol = "ws:";
const client = new Client({
  url: url.href,
  token: async () => (await fetch(`/token?user=${query.get("user")}`)).text(),
});
client.connect();

/** What this page has shown: the text that stands there, and whatever was not the text so far, each word once. */
const stage = {
  client,
  text: "",
  status: "",
  wrong: [] as string[],
  remounts: 0,
  remount: () => {},
};
Object.assign(globalThis, { stage });

export type RemountInPage = typeof stage;

function show(run: RunEntry): void {
  const count = run.text.split(" ").length - 1;
  const whole = Array.from({ length: count }, (_, i) => `w${i + 1} `).join("");
  if (run.text !== whole) stage.wrong.push(run.text);
  stage.text = run.text;
  stage.status = run.status;
}

function Chat({ id }: { id: string }) {
  const { entries } = useSession(client, id);
  return entries.map((entry) => {
    if (entry.kind !== "run") return null;
    show(entry);
    return (
      <p key={entry.offset} data-status={entry.status}>
        {entry.text}
      </p>
    );
  });
}

function App() {
  const [mounts, setMounts] = useState(0);
  stage.remount = () => setMounts(++stage.remounts);
  return <Chat key={mounts} id={query.get("session") ?? "chat"} />;
}

const root = document.createElement("main");
document.body.append(root);
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
