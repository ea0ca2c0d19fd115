// A process that makes calls and posts them until it is killed: `worker.ts DATABASE_URL ROOT SEED`. It prints each attempt with what it has
// settled it for, once the settlement is written.
import { writeSync } from "node:fs";
import { Database } from "../../../store/index.ts";
import { randomFrom } from "../../leases/testing.ts";
import { Poster } from "../poster.ts";
import { rows, TestProcess } from "../testing.ts";

const [url, root, seed] = process.argv.slice(2);
const db = new Database(url!, { connections: 2 });
const random = randomFrom(Number(seed));
const worker = await TestProcess.begin(db, root!, { fileBytes: 20_000 });
await worker.lease(1_000_000_000n, 10_000_000n);
const poster = new Poster({ db, spool: worker.writer, rows });
/** Attempts are left open at each of their states. */
const open: ReturnType<TestProcess["hold"]>[] = [];

async function some(): Promise<void> {
  for (let number = 0; number < 20; number++) {
    const work = worker.hold({ promptTokens: Math.floor(random() * 100) });
    if (random() < 0.1) continue;
    worker.sent(work);
    if (random() < 0.3) worker.extend(work, 200, 150);
    open.push(work);
    if (open.length < 10) continue;
    const ended = open.splice(Math.floor(random() * open.length), 1)[0]!;
    const settlement = worker.settle(ended, Math.floor(random() * ended.coveredTokens));
    if (random() < 0.9) worker.recordCall(ended, settlement);
    writeSync(1, `${ended.held.attempt} ${settlement.amountNano}\n`);
  }
  if (random() < 0.2) await poster.drained();
  setImmediate(() => void some());
}
await some();
