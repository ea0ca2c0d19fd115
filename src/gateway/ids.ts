// Ids on the path of every call: the same as everywhere, with their randomness drawn in large pieces, since asking the system
// for eleven bytes at a time costs more than all else about an id.
import { randomFillSync } from "node:crypto";
import { newId } from "../store/index.ts";
import type { IdPrefix } from "../store/index.ts";

const bytesPerId = 11;
const pool = Buffer.alloc(bytesPerId * 512);
let used = pool.length;

export function pooledId(prefix: IdPrefix): string {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const random = pool.subarray(used, used + bytesPerId);
  used += bytesPerId;
  return newId(prefix, Date.now(), random);
}
