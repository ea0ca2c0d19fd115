// What arrives is read whole and in order, however it comes: at once, turn by turn, or after something that had to be done before. Readers
// are told of failures once, and a source whose reader fails is left.
import fc from "fast-check";
import { expect, test } from "vitest";
import { atEndOfTurn, each, iterated, later, nextOf, type Paced, type Taken } from "./arrivals.ts";
import { runs } from "../../test/setup/runs.ts";

type Came = "value" | "turn" | "promise" | "promise of nothing yet" | "wake for nothing";
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A source whose values come as the steps say; each value is the number of its step. */
class Scripted implements Paced<{ step: number }> {
  readonly #steps: readonly Came[];
  readonly #failure: Error | undefined;
  #at = 0;
  #isOver = false;
  taking = 0;
  left = 0;

  constructor(steps: readonly Came[], failure?: Error) {
    this.#steps = steps;
    this.#failure = failure;
  }

  take(wake: () => void): Taken<{ step: number }> | Promise<Taken<{ step: number }>> {
    if (this.taking > 0) throw new Error("taken from while a promise was not resolved");
    if (this.#isOver) return undefined;
    const step = this.#at++;
    switch (this.#steps[step]) {
      case "value":
        return { step };
      case "turn":
        setImmediate(wake);
        return later;
      case "wake for nothing":
        wake();
        setImmediate(wake);
        return later;
      case "promise":
        return this.#after({ step });
      case "promise of nothing yet":
        return this.#after(later, wake);
      case undefined:
        this.#isOver = true;
        if (this.#failure) throw this.#failure;
        return undefined;
    }
  }

  async #after(taken: Taken<{ step: number }>, wake?: () => void): Promise<Taken<{ step: number }>> {
    this.taking++;
    await turn();
    this.taking--;
    if (wake) setImmediate(wake);
    return taken;
  }

  leave(): undefined {
    this.left++;
  }

  [Symbol.asyncIterator]() {
    return iterated(this);
  }
}

const steps = fc.array(
  fc.constantFrom<Came>("value", "value", "turn", "promise", "promise of nothing yet", "wake for nothing"),
  { maxLength: 12 },
);
const valuesIn = (all: readonly Came[]) =>
  [...all.entries()].filter(([, came]) => came === "value" || came === "promise").map(([step]) => step);

test("every value is given in order, and the end is told, however they come and however slow the reader is", async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.array(fc.boolean()), async (all, slow) => {
      const seen: number[] = [];
      let using = 0;
      await each(new Scripted(all), ({ step }) => {
        expect(using).toBe(0);
        seen.push(step);
        if (!slow[seen.length]) return undefined;
        using++;
        return turn().then(() => void using--);
      });
      expect(seen).toEqual(valuesIn(all));
      const iteratedOver: number[] = [];
      for await (const { step } of new Scripted(all)) iteratedOver.push(step);
      expect(iteratedOver).toEqual(valuesIn(all));
      const source = new Scripted(all);
      const [first] = valuesIn(all);
      expect(await nextOf(source)).toEqual(first === undefined ? undefined : { step: first });
    }),
    { numRuns: runs(200) },
  );
});

test("a failure of the source is told after all values, and the source is not left", async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const source = new Scripted(all, new Error("broke off"));
      const seen: number[] = [];
      await expect(each(source, ({ step }) => void seen.push(step))).rejects.toThrow("broke off");
      expect(seen).toEqual(valuesIn(all));
      expect(source.left).toBe(0);
    }),
    { numRuns: runs(50) },
  );
});

test.each(["throws", "rejects"])("a source is left where its user %s", async (how) => {
  const source = new Scripted(["value", "turn", "value", "value"]);
  let given = 0;
  const failing = each(source, () => {
    if (++given < 2) return undefined;
    if (how === "throws") throw new Error("cannot be used");
    return Promise.reject(new Error("cannot be used"));
  });
  await expect(failing).rejects.toThrow("cannot be used");
  expect([given, source.left]).toEqual([2, 1]);
});

test("a source that is only iterable is read too", async () => {
  const source = (async function* () {
    yield 1;
    await turn();
    yield 2;
  })();
  const seen: number[] = [];
  await each(source, (value) => (seen.push(value), turn()));
  expect(seen).toEqual([1, 2]);
});

test("an iterator that is returned leaves its source while a value is waited for", async () => {
  const source = new Scripted(["turn", "turn"]);
  const iterator = iterated(source);
  const waiting = iterator.next();
  await iterator.return!();
  expect(source.left).toBe(1);
  expect((await waiting).done).toBe(true);
});

test("what is due at the end of a turn runs in order, and what it asks for runs in the same end", async () => {
  const ran: string[] = [];
  setImmediate(() => void ran.push("after"));
  await turn();
  ran.length = 0;
  const ended = new Promise<void>((resolve) => {
    atEndOfTurn(() => {
      ran.push("first");
      atEndOfTurn(() => {
        ran.push("asked for by the first");
        resolve();
      });
      setImmediate(() => ran.push("next turn"));
    });
  });
  atEndOfTurn(() => void ran.push("second"));
  expect(ran).toEqual([]);
  await ended;
  expect(ran).toEqual(["first", "second", "asked for by the first"]);
});

test("one function that throws keeps no other from running", async () => {
  const ran: string[] = [];
  const thrown = Promise.withResolvers<Error>();
  const before = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.once("uncaughtException", thrown.resolve);
  try {
    const other = new Promise<void>((resolve) => {
      atEndOfTurn(() => {
        throw new Error("of one");
      });
      atEndOfTurn(() => {
        ran.push("other");
        resolve();
      });
    });
    expect((await thrown.promise).message).toBe("of one");
    await other;
    expect(ran).toEqual(["other"]);
  } finally {
    for (const listener of before) process.on("uncaughtException", listener);
  }
});
