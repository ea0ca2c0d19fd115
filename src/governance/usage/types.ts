// Limits on use: how many requests and tokens a scope may use in a window of time, and how many calls and bytes it may have under way at
// once. They protect engines and other tenants; what may be spent is the ledger's (budgets).

/** What is limited. */
export type Dimension =
  | "requests_per_minute"
  | "tokens_per_minute"
  | "tokens_per_day"
  | "concurrent_calls"
  | "bytes_in_flight";

/** How a dimension counts. */
export interface Window {
  /** What its amount counts. */
  unit: "requests" | "tokens" | "calls" | "bytes";
  /** Length of one slot in milliseconds. Undefined for what is counted while it is under way and is given back at its end. */
  slotMs: number | undefined;
  /** Slots that are moved to the database once they are over, so that a window of a day outlives its process. */
  moves: boolean;
}

/** Slots of a window. Use counts from its slot on for the window and at most one slot more, so no window of that length has more. */
export const slotsPerWindow = 60;

export const windows: Readonly<Record<Dimension, Window>> = {
  requests_per_minute: { unit: "requests", slotMs: 1_000, moves: false },
  tokens_per_minute: { unit: "tokens", slotMs: 1_000, moves: false },
  tokens_per_day: { unit: "tokens", slotMs: 1_440_000, moves: true },
  concurrent_calls: { unit: "calls", slotMs: undefined, moves: false },
  bytes_in_flight: { unit: "bytes", slotMs: undefined, moves: false },
};

export type LimitScopeKind = "organisation" | "project" | "key";

/** Whose use is counted: all of the scope's calls, or those to one model. */
export interface LimitScope {
  kind: LimitScopeKind;
  id: string;
  model: string | undefined;
}

export interface UsageLimit {
  id: string;
  /** Number of the limit in the tables of shares. */
  number: number;
  organisation: string;
  scope: LimitScope;
  dimension: Dimension;
  /** Most requests, tokens, calls or bytes. 0 refuses every call of the scope. */
  amount: number;
}

/** What a process tells the database of its share of one limit, and what it asks for. */
export interface ShareItem {
  number: number;
  /** Use within the window, not moved. It counts whether or not the share covers it. */
  used: number;
  /** What of its share the process keeps. At least `used`, as far as the share covers that. */
  kept: number;
  /** Needed beyond `kept`, all or nothing; 0: nothing is needed. */
  least: number;
  /** What would be of use beyond `kept`, `least` included. */
  want: number;
  /** Slots that are over, with the milliseconds for which each still counts. The database counts them from now on. */
  moved: { slot: number; amount: number; forMs: number }[];
}

/** The database's answer for one share. */
export interface ShareAnswer {
  number: number;
  /** The limit's amount as it is now; undefined where the limit was removed. */
  amount: number | undefined;
  /** The process's share: what it keeps and what was granted. */
  units: number;
  /** What is not this process's: the shares of others, and use that the database counts. */
  others: number;
  /** Part of the others' shares that they said to have unused when they last spoke. */
  unused: number;
  /** Another process needs a part: return what is not used. */
  recalled: boolean;
  /** What was needed was not granted. */
  refused: boolean;
}
