// The shape of a hostile input: one HTTP request that a member's key may send, written so that a small body costs the server much.
// The same inputs are sent by test/hostile/*.test.ts (they assert status and counted work) and by `npm run bench:stalls` (it
// measures the longest stall of the event loop).

import type { Script } from "../../../src/engines/testing.ts";

/** One request. */
export interface Sent {
  method: "POST" | "GET" | "PUT" | "DELETE" | "PATCH";
  /** Path with query, on the gateway's one address. */
  path: string;
  /** Made when asked for, so that listing the corpus costs nothing. Absent: no body. */
  body?: () => string | Uint8Array;
  headers?: Record<string, string>;
}

export interface HostileInput extends Sent {
  /** Short and unique; it is the row's name in the bench's table. */
  name: string;
  /** Requests before it, which are not measured: an agent that is published first, for example. */
  prepare?: readonly Sent[];
  /** How the scripted engine answers this request, because an engine may be hostile too. */
  engine?: () => Script;
  /** The one right status: another one shows that a bound is missing. No input of the corpus may be answered with 500. */
  status: number;
}
