// Ids of everything that is stored: a prefix that says what it is, then 20 characters that sort by time of making.
import { randomBytes } from "node:crypto";

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
  | "batch";

/** Crockford's alphabet: no letters that look like digits. */
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

/** Makes an id such as `call_01k9…`: 9 characters of time in milliseconds, 11 of randomness (55 bits). */
export function newId(prefix: IdPrefix, now = Date.now(), random = randomBytes(11)): string {
  let time = "";
  for (let rest = now, place = 0; place < 9; place++, rest = Math.floor(rest / 32)) time = alphabet[rest % 32] + time;
  let tail = "";
  for (let place = 0; place < 11; place++) tail += alphabet[random[place]! & 31];
  return `${prefix}_${time}${tail}`;
}
