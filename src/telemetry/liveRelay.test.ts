// Live events between two processes, over a real Postgres.
import { expect, test } from "vitest";
import { Session } from "../store/index.ts";
import { testDatabase } from "../store/testing.ts";
import { everyProject, LiveEvents, ownersOnly } from "./live.ts";
import { LiveRelay } from "./liveRelay.ts";
import { createLogger } from "./logger.ts";

const timeout = 60_000;
const log = createLogger({ level: "silent" });
interface Said {
  type: string;
  text: string;
}
const org = { organisation: "org", project: "p" };

async function processOn(url: string) {
  const session = await Session.open({ url });
  const events = new LiveEvents<Said>();
  const relay = await LiveRelay.open({
    events,
    session,
    log,
    encode: (event) => event,
    decode: (data) => data as Said,
  });
  const close = async () => {
    relay.close();
    await session.close();
  };
  /** Texts that a reader is given, as they come. */
  const read = (reader: { organisation: string; project?: string }, stop: AbortSignal) => {
    const seen: string[] = [];
    void (async () => {
      for await (const { event } of events.subscribe(reader, undefined, stop)) seen.push(event.text);
    })();
    return seen;
  };
  return { events, read, close };
}

test("a reader sees what another process publishes, whole, in order, and only what is for it", async () => {
  await using db = await testDatabase();
  const [here, there] = await Promise.all([processOn(db.url), processOn(db.url)]);
  const stop = new AbortController();
  const owner = here.read({ organisation: "org" }, stop.signal);
  const member = here.read(org, stop.signal);
  try {
    // The message that a process has readers takes a moment to arrive.
    const say = (text: string, audience: Parameters<typeof there.events.publish>[0] = org) =>
      there.events.publish(audience, { type: "call", text });
    await expect
      .poll(
        () => {
          say("first");
          return owner.includes("first");
        },
        { timeout },
      )
      .toBe(true);
    // Longer than a notification may be, in letters of two, three and four bytes.
    const long = "äあ😀\u0001".repeat(5_000);
    say(long);
    say("to owners", { organisation: "org", project: ownersOnly });
    say("to all", { organisation: "org", project: everyProject });
    say("to others", { organisation: "another", project: "p" });
    say("last");
    await expect.poll(() => owner.at(-1), { timeout }).toBe("last");
    expect(owner.slice(-4)).toEqual([long, "to owners", "to all", "last"]);
    await expect.poll(() => member.at(-1), { timeout }).toBe("last");
    expect(member.slice(-3)).toEqual([long, "to all", "last"]);
  } finally {
    stop.abort();
    await Promise.all([here.close(), there.close()]);
  }
});

test("without a reader at any process, nothing is sent", async () => {
  await using db = await testDatabase();
  const process = await processOn(db.url);
  const listener = await Session.open({ url: db.url });
  const heard: string[] = [];
  await listener.listen("lineshaft_live", (text) => void heard.push(text));
  for (let count = 0; count < 100; count++) process.events.publish(org, { type: "call", text: "unheard" });
  const stop = new AbortController();
  process.read(org, stop.signal);
  // The word of the reader is the first message of all.
  await expect.poll(() => heard.length, { timeout }).toBeGreaterThan(0);
  expect(heard[0]).toMatch(/^\d+ w$/);
  stop.abort();
  await Promise.all([process.close(), listener.close()]);
});
