/** The little of phoenix that the rig uses. */
declare module "phoenix" {
  export class Socket {
    constructor(url: string, options?: object);
    connect(): void;
    onOpen(run: () => void): void;
    onClose(run: () => void): void;
    channel(topic: string): Channel;
  }
  export interface Channel {
    on(event: string, run: (payload: unknown) => void): void;
    join(): { receive(status: string, run: () => void): void };
  }
}
