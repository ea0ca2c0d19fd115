// A process that appends to a spool for ever, for tests that kill it: `appender.ts ROOT SEED`. A part of its records is queued. It prints a
// record's number once append has returned for it, or for a later one.
import { writeSync } from "node:fs";
import { newSpoolId, SpoolWriter } from "../writer.ts";

const [root, seed] = process.argv.slice(2);
const writer = SpoolWriter.open({ root: root!, id: newSpoolId(), epoch: "1", fileBytes: 30_000 });
let number = 0;
let random = Number(seed);

function some(): void {
  for (let group = 0; group < 20; group++) {
    random = (random * 1_103_515_245 + 12_345) % 2 ** 31;
    const payloads = Array.from({ length: 1 + (random % 4) }, () =>
      Buffer.from(`${++number} ${"x".repeat(random % 900)}`),
    );
    if (random % 3 === 0) {
      writer.queue(payloads);
      continue;
    }
    writer.append(payloads);
    writeSync(1, `${number}\n`);
  }
  setImmediate(some);
}
some();
