import { claim, type Client, type OtherWindow, type Place, placeOf } from "@holdfast/client";
import { byId, setText } from "./element.ts";

const SAYS: { readonly [mode in Place["mode"]]: string } = {
  full: "",
  read_only: "You are reading along: another window of yours has the pen.",
  elsewhere: "Continued in another window.",
  ask: "You have this open in another window. Go on here?",
  limit: "Too many windows are open. Close one, then connect again.",
};

/** Says where the user is besides here; and where the server lets only so many windows work, offers to go on in this one. */
export class PlaceView {
  readonly #client: Client;
  readonly #bar = byId("place", HTMLElement);
  readonly #says = this.#bar.querySelector("p") as HTMLParagraphElement;
  readonly #claim = byId("claim", HTMLButtonElement);
  readonly #others = byId("others", HTMLParagraphElement);

  constructor(client: Client) {
    this.#client = client;
    this.#claim.addEventListener("click", () => claim(client));
    client.onStatus(() => this.#show());
    this.#show();
  }

  #show(): void {
    const { mode, others } = placeOf(this.#client);
    this.#bar.hidden = mode === "full";
    this.#claim.hidden = mode === "limit";
    const [first] = others;
    const where = mode === "elsewhere" && first ? `Continued in another window (${nameOf(first)}).` : SAYS[mode];
    setText(this.#says, where);
    setText(this.#others, mode === "full" && others.length ? `Also open: ${listed(others)}` : "");
  }
}

const nameOf = ({ name, sameDevice }: OtherWindow) => (sameDevice ? "on this device" : name || "elsewhere");

/** Each name once, with how many there are of it. */
function listed(others: readonly OtherWindow[]): string {
  const names = new Map<string, number>();
  for (const other of others) names.set(nameOf(other), (names.get(nameOf(other)) ?? 0) + 1);
  return [...names].map(([name, n]) => (n > 1 ? `${name} (${n})` : name)).join(", ");
}
