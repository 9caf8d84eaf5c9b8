import { answer, type Client, type MessageEntry, older, requestsOf, type Session } from "@holdfast/client";
import { element, setText } from "./element.ts";
import { textOf } from "./message-view.ts";
import { RequestView } from "./request-view.ts";
import { Scroller } from "./scroller.ts";
import type { Place } from "./server.ts";

interface Progress {
  readonly task: string;
  readonly done: number;
  readonly total: number;
  readonly label: string;
  readonly status: "running" | "done" | "failed";
}

const STATUS: Readonly<Record<Progress["status"], string>> = { running: "Running", done: "Done", failed: "Failed" };
const time = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

/** A task that takes its time: its progress is a state, its log lines are messages, and in the middle of it is a request. */
export class TaskView {
  readonly root: HTMLElement;
  readonly #session: Session;
  readonly #announce: (text: string) => void;
  readonly #start = element("button", { type: "button", class: "primary" }, "Start");
  readonly #state = element("span", { class: "state" });
  readonly #bar: HTMLElement;
  readonly #fill = element("div", { class: "fill" });
  readonly #label = element("p", { class: "label" }, "Not started");
  readonly #count = element("p", { class: "count" });
  readonly #log = element("ol", { class: "log" });
  readonly #older = element("button", { type: "button", class: "quiet older", hidden: true }, "Older lines");
  readonly #question: RequestView;
  readonly #scroller: Scroller;
  readonly #lines = new Map<number, HTMLElement>();
  #first = Number.POSITIVE_INFINITY;
  #was: Progress["status"] | undefined;

  constructor(client: Client, place: Place, user: string, announce: (text: string) => void) {
    this.#session = client.session(place.id, { last: 60 });
    this.#announce = announce;
    this.#bar = element(
      "div",
      { class: "bar", role: "progressbar", "aria-label": place.title, "aria-valuemin": "0" },
      this.#fill,
    );
    const head = element("header", {}, element("h2", {}, place.title), this.#state);
    const facts = element("div", { class: "facts-row" }, this.#label, this.#count);
    this.#question = new RequestView(user, (request, yes) => answer(this.#session, request, yes));
    const progress = element("div", { class: "progress" }, facts, this.#bar, this.#question.root, this.#start);
    const scroll = element("div", {
      class: "scroll",
      role: "log",
      "aria-live": "off",
      "aria-label": "Log lines",
      tabindex: "0",
    });
    scroll.append(this.#older, this.#log);
    const jump = element("button", { type: "button", class: "jump", hidden: true }, "↓ New");
    const body = element("div", { class: "body" }, scroll, jump);
    this.root = element("section", { class: "pane task", "aria-label": place.title }, head, progress, body);
    this.#scroller = new Scroller(scroll, jump);
    this.#start.addEventListener("click", () => {
      this.#session.send({ type: "start" });
      this.#scroller.toEnd();
    });
    this.#older.addEventListener("click", () => void older(this.#session, 100).catch(() => {}));
    this.#session.subscribe(() => this.#draw());
    this.#draw();
  }

  #draw(): void {
    const { entries, states, outbox, hasOlder, status, error } = this.#session.snapshot;
    const progress = states.get("progress")?.data as Progress | undefined;
    this.root.dataset["status"] = status;
    this.#drawProgress(progress, outbox.length > 0);
    this.#question.show(
      requestsOf({ entries })
        .filter(({ id }) => id.startsWith(`${progress?.task}:`))
        .at(-1),
    );
    if (status === "denied") setText(this.#state, error?.message ?? "Not allowed");
    const first = entries[0]?.offset ?? Number.POSITIVE_INFINITY;
    const before = first < this.#first && this.#lines.size > 0;
    this.#first = first;
    this.#scroller.change(() => {
      const messages = entries.filter((entry): entry is MessageEntry => entry.kind === "message");
      const wanted = new Set(messages.map(({ offset }) => offset));
      for (const [offset, line] of this.#lines) {
        if (wanted.has(offset)) continue;
        line.remove();
        this.#lines.delete(offset);
      }
      let next = this.#log.firstElementChild;
      for (const message of messages) {
        const line = this.#lines.get(message.offset) ?? drawLine(message);
        this.#lines.set(message.offset, line);
        if (line === next) next = next.nextElementSibling;
        else this.#log.insertBefore(line, next);
      }
      this.#older.hidden = !hasOlder;
    }, before);
  }

  #drawProgress(progress: Progress | undefined, starting: boolean): void {
    const running = progress?.status === "running";
    const { done = 0, total = 0 } = progress ?? {};
    this.root.dataset["task"] = progress?.status ?? "none";
    setText(this.#state, progress ? (STATUS[progress.status] ?? "") : "");
    setText(this.#label, progress ? progress.label : "A job that takes its time, and goes on without you.");
    setText(this.#count, total ? `${done} / ${total}` : "");
    this.#fill.style.width = total ? `${(100 * done) / total}%` : "0";
    this.#bar.setAttribute("aria-valuemax", String(total));
    this.#bar.setAttribute("aria-valuenow", String(done));
    this.#start.disabled = running || starting;
    setText(this.#start, starting ? "Starting" : running ? "Running" : progress ? "Start again" : "Start");
    if (this.#was === "running" && progress && !running) this.#announce(`The task is ${progress.status}.`);
    this.#was = progress?.status;
  }
}

function drawLine(message: MessageEntry): HTMLElement {
  const data = message.data as { readonly type?: string } | null;
  const start = data?.type === "start";
  const at = element("time", { datetime: new Date(message.at).toISOString() }, time.format(message.at));
  const text = start ? `Started by ${message.user}` : textOf(message.data);
  return element("li", start ? { class: "start" } : {}, at, element("span", {}, text));
}
