/** What stands in hello and in reports, for the server's log. */
export const AGENT = "holdfast-js/0.1";

/** A path below the client's url, whose query stays at the end. */
export function below(url: string, path: string | number): string {
  const cut = url.search(/[?#]|$/);
  return `${url.slice(0, cut).replace(/\/+$/, "")}/${path}${url.slice(cut)}`;
}

/** The same, for HTTP. */
export const httpUrl = (url: string, path: string) => below(url, path).replace(/^ws/, "http");
