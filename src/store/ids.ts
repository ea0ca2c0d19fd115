// Ids of everything that is stored: a prefix that says what it is, then 20 characters that sort by time of making.
import { randomFillSync } from "node:crypto";

export type IdPrefix =
  | "org"
  | "prj"
  | "key"
  | "call"
  | "att"
  | "atst"
  | "dec"
  | "run"
  | "lim"
  | "step"
  | "eff"
  | "agt"
  | "agv"
  | "bud"
  | "jrn"
  | "res"
  | "req"
  | "sec"
  | "spl"
  | "prog"
  | "conv"
  | "item"
  | "file"
  | "batch"
  | "msgbatch";

/** Crockford's alphabet: no letters that look like digits. */
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

/** Characters of an id that are random: 55 bits. */
const randomCharacters = 11;

/**
 * Makes an id such as `call_01k9`, with 20 characters after the prefix: 9 of time in milliseconds since 1970, and 11 of randomness. Ids of
 * one prefix sort by their times.
 */
export const newId = (prefix: IdPrefix, now = Date.now()): string => `${prefix}_${timeText(now)}${randomText()}`;

/** The least id of a moment: the ids of that millisecond and of later ones are not below it. */
export const leastId = (prefix: IdPrefix, now: number): string =>
  `${prefix}_${timeText(now)}${alphabet[0]!.repeat(randomCharacters)}`;

let timeMs = -1;
let time = "";

/** Ids of one millisecond share the text of their time. */
function timeText(now: number): string {
  if (now === timeMs) return time;
  let text = "";
  for (let rest = now, place = 0; place < 9; place++, rest = Math.floor(rest / 32)) text = alphabet[rest % 32] + text;
  timeMs = now;
  return (time = text);
}

const pool = Buffer.alloc(randomCharacters * 512);
let random = "";
let used = pool.length;

/** Drawn in large pieces: to ask the system for eleven bytes at a time would cost more than all else about an id. */
function randomText(): string {
  if (used === pool.length) {
    randomFillSync(pool);
    for (let place = 0; place < pool.length; place++) pool[place] = alphabet.charCodeAt(pool[place]! & 31);
    random = pool.toString("latin1");
    used = 0;
  }
  return random.slice(used, (used += randomCharacters));
}
