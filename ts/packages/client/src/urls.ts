/** What stands in hello and in reports, for the server's log. */
export const AGENT = "holdfast-js/0.1";

/** A path below the client's url, whose query stays at the end. */
export const below = (url: string, path: string | number) => url.replace(/\/*($|[?#])/, `/${path}$1`);

/** The same, for HTTP. */
export const httpUrl = (url: string, path: string) => below(url, path).replace(/^ws/, "http");
