import { embed } from "../pages.mjs";

await embed({
  page: "demo",
  main: "src/main.ts",
  out: "internal/demo/assets/",
  packages: ["client", "client/fallback", "client/tabs", "outbox", "status"],
  files: ["index.html", "icon.svg"],
});
