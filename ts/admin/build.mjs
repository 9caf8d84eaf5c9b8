import { embed } from "../pages.mjs";

await embed({ page: "admin", main: "src/main.tsx", out: "internal/admin/assets/", files: ["index.html"] });
