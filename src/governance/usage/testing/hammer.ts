// One gateway process of the hammer test: asks for calls as fast as it can and writes down when each began and ended, by the machine's
// monotonic clock, which all processes share. Arguments: database URL, organisation, project, key, calls to try.
import { setTimeout as sleep } from "node:timers/promises";
import { Database, Session } from "../../../store/index.ts";
import { Limiter } from "../limiter.ts";

const [url, organisation, project, key, tries, holdMs] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
];
const db = new Database(url, { connections: 2 });
const session = await Session.open({ url });
const limiter = await Limiter.open({ db, session });
const calls: [began: number, ended: number][] = [];
let refused = 0;
const nowMs = () => Number(process.hrtime.bigint() / 1_000n) / 1_000;
const worker = async (count: number) => {
  for (let call = 0; call < count; call++) {
    const use = {
      organisation,
      project,
      key,
      model: "m",
      promptTokens: 1,
      bytes: 1,
      signal: new AbortController().signal,
    };
    try {
      const counted = await limiter.begin(use);
      const began = nowMs();
      if (holdMs !== "0") await sleep(Number(holdMs));
      calls.push([began, nowMs()]);
      counted.end(1);
    } catch (error) {
      if ((error as { code?: string }).code !== "rate_limit_exceeded") throw error;
      refused++;
      await sleep(5);
    }
  }
};
await Promise.all(Array.from({ length: 20 }, () => worker(Number(tries) / 20)));
await limiter.close();
await session.close();
await db.close();
process.stdout.write(JSON.stringify({ calls, refused }));
