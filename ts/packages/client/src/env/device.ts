const KEY = "holdfast:device";

/** For the option `place`: what all windows of this browser have in common, and a name for it such as "Firefox on Android". */
export function thisDevice(): { readonly device: string; readonly name: string } {
  const agent = globalThis.navigator?.userAgent ?? "";
  const browser = /Edg|OPR|SamsungBrowser|Firefox|FxiOS|Chrome|CriOS|Safari/.exec(agent)?.[0] ?? "Browser";
  const system = /Android|iPhone|iPad|Windows|Mac|CrOS|Linux/.exec(agent)?.[0];
  const called = NAMES[browser] ?? browser;
  return { device: deviceId(), name: system ? `${called} on ${NAMES[system] ?? system}` : called };
}

const NAMES: { readonly [word: string]: string } = {
  Edg: "Edge",
  OPR: "Opera",
  SamsungBrowser: "Samsung Internet",
  FxiOS: "Firefox",
  CriOS: "Chrome",
  CrOS: "ChromeOS",
};

function deviceId(): string {
  const made = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  try {
    const kept = localStorage.getItem(KEY);
    if (!kept) localStorage.setItem(KEY, made);
    return kept ?? made;
  } catch {
    // No storage, no device: each window is one of its own.
    return made;
  }
}
