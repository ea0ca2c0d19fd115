// Questions between two processes over a channel, here two ends in one process.
import { EventEmitter } from "node:events";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LineshaftError } from "../errors/index.ts";
import { Link } from "./link.ts";

// Questions have as long as a test gives them, on a machine of any speed.
beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

/** Two ends of a channel; what one sends, the other hears in the next turn. */
function channel() {
  const end = () => Object.assign(new EventEmitter(), { connected: true, frozen: false });
  const [a, b] = [end(), end()];
  const sends = (from: ReturnType<typeof end>, to: ReturnType<typeof end>) =>
    Object.assign(from, {
      send(message: unknown, sent: (error: Error | null) => void) {
        if (!to.frozen) setImmediate(() => to.emit("message", structuredClone(message)));
        sent(null);
        return true;
      },
    });
  return [sends(a, b), sends(b, a)] as const;
}

type Verbs = { twice(value: number): number; fail(value: string): never; later(value: undefined): Promise<string> };

function pair(verbs: Partial<Verbs> = {}) {
  const [here, there] = channel();
  const failures: string[] = [];
  void new Link(there, verbs as Verbs, (verb, error) => void failures.push(`${verb}: ${error.message}`));
  return { link: new Link<Verbs>(here, {}, () => {}), here, there, failures };
}

test("a question is answered by the other side's verb, and questions at once keep their own answers", async () => {
  const gate = Promise.withResolvers<string>();
  const { link } = pair({ twice: (value) => 2 * value, later: () => gate.promise });
  const later = link.ask("later", undefined);
  expect(await Promise.all([link.ask("twice", 1), link.ask("twice", 2)])).toEqual([2, 4]);
  gate.resolve("done");
  expect(await later).toBe("done");
});

test("an error for people comes through whole; another one is told to the side where it happened alone", async () => {
  const refusal = { code: "memory_short", message: "Too little memory.", hint: "Free some.", status: 409 };
  const { link, failures } = pair({
    fail(value) {
      throw value === "known" ? new LineshaftError(refusal) : new TypeError("a defect");
    },
  });
  await expect(link.ask("fail", "known")).rejects.toMatchObject({ ...refusal, isPublic: true });
  await expect(link.ask("fail", "unknown")).rejects.toMatchObject({
    code: "internal_error",
    message: expect.not.stringContaining("a defect"),
  });
  expect(failures).toEqual(["fail: a defect"]);
});

test("a side that is frozen, or has gone, fails the question and nothing else", async () => {
  const { link, here, there } = pair({ twice: (value) => 2 * value });
  there.frozen = true;
  const unheard = link.ask("twice", 1, 20);
  vi.advanceTimersByTime(20);
  await expect(unheard).rejects.toMatchObject({ code: "process_silent", status: 503 });
  const asked = link.ask("twice", 2);
  here.emit("disconnect");
  await expect(asked).rejects.toMatchObject({ code: "process_silent" });
  there.frozen = false;
  expect(await link.ask("twice", 3)).toBe(6);
});

test("an answer that came while this process stood still is heard, because timers fire before the channel is read", async () => {
  const { link, there } = pair({ twice: (value) => 2 * value });
  const { send } = there;
  there.send = (message, sent) => {
    send(message, sent);
    vi.advanceTimersByTime(60_000);
    return true;
  };
  expect(await link.ask("twice", 2)).toBe(4);
});

test("a question to a side that has gone fails at once", async () => {
  const { link, here } = pair();
  here.connected = false;
  // Without waiting for the time that an answer may take.
  await expect(link.ask("twice", 1, 1_000_000)).rejects.toMatchObject({ code: "process_silent" });
});
