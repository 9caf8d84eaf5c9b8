import { byId, element } from "./element.ts";

/** On a narrow screen one pane shows at a time, chosen by tabs; on a wide one the style sheet shows all. */
export function paneTabs(panes: readonly { readonly title: string; readonly root: HTMLElement }[]): void {
  const bar = byId("tabs", HTMLElement);
  const tabs = panes.map(({ title }, i) =>
    element("button", { type: "button", role: "tab", id: `tab-${i}`, "aria-controls": `pane-${i}` }, title),
  );
  const select = (chosen: number, focus = false) => {
    panes.forEach(({ root }, i) => {
      root.classList.toggle("chosen", i === chosen);
      tabs[i]?.setAttribute("aria-selected", String(i === chosen));
      tabs[i]?.setAttribute("tabindex", i === chosen ? "0" : "-1");
    });
    if (focus) tabs[chosen]?.focus();
    sessionStorage.setItem("holdfast-demo:pane", String(chosen));
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => select(i));
    tab.addEventListener("keydown", ({ key }) => {
      const step = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0;
      if (step) select((i + step + tabs.length) % tabs.length, true);
    });
  });
  panes.forEach(({ root }, i) => {
    root.id = `pane-${i}`;
  });
  bar.append(...tabs);
  const before = Number(sessionStorage.getItem("holdfast-demo:pane"));
  select(panes[before] ? before : 0);
}
