/** One thing that happened: when, by this machine's clock, what, and figures to it. Never a message or a token. */
export interface LogRecord {
  readonly at: number;
  readonly e: string;
  readonly [figure: string]: unknown;
}

const KEPT = 500;

/** The last things that happened, for whoever has to find out afterwards. */
export class Log {
  readonly records: LogRecord[] = [];

  add(record: LogRecord): void {
    if (this.records.push(record) > KEPT) this.records.shift();
  }
}
