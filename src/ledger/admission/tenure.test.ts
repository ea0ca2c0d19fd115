// A tenure's errands with the database, on leases that answer when the test says so.
import { expect, test } from "vitest";
import type { GivenBack } from "../book/types.ts";
import type { Leases } from "../leases/leases.ts";
import { Tenure } from "./tenure.ts";

type TenureLeases = Pick<Leases, "take" | "giveBack" | "budgetsOf" | "acknowledge" | "databaseTimeMs">;

const asked = (amountNano: bigint): GivenBack => ({ budget: "b1", period: "2026-01-01T00:00:00.000Z", amountNano });

function tenureOn(giveBack: (shares: readonly GivenBack[]) => Promise<void>): Tenure {
  const unused = () => Promise.reject(new Error("not asked for"));
  const leases: TenureLeases = {
    giveBack,
    take: unused,
    budgetsOf: unused,
    acknowledge: unused,
    databaseTimeMs: () => 0,
  };
  const position = () => ({ spool: "s1", number: 0 });
  return new Tenure({
    leases,
    spool: {
      append: position,
      queue: position,
      written: () => Promise.resolve(),
      reserve: () => {},
      release: () => {},
      position,
    },
    exclusively: (work) => work(),
    posted: () => Promise.resolve(),
    numbers: () => ({}),
    onFenced: () => {},
    clock: () => 0,
  });
}

test("a recall that comes while money is given back is answered too", async () => {
  const sent: GivenBack[][] = [];
  const first = Promise.withResolvers<void>();
  const tenure = tenureOn((shares) => {
    sent.push([...shares]);
    return sent.length === 1 ? first.promise : Promise.resolve();
  });
  tenure.recalled([asked(5n)]);
  await new Promise((resolve) => setImmediate(resolve));
  tenure.recalled([asked(7n)]);
  first.resolve();
  await tenure.giveAllBack();
  // Nothing is leased here, so that both answers are of 0.
  expect(sent).toEqual([[asked(0n)], [asked(0n)]]);
});

test("what could not be given back is given back with what follows", async () => {
  const sent: GivenBack[][] = [];
  const tenure = tenureOn((shares) => {
    sent.push([...shares]);
    return sent.length === 1 ? Promise.reject(new Error("the database is away")) : Promise.resolve();
  });
  tenure.recalled([asked(5n)]);
  await new Promise((resolve) => setImmediate(resolve));
  tenure.recalled([asked(7n)]);
  await tenure.giveAllBack();
  expect(sent.at(-1)).toEqual([asked(0n), asked(0n)]);
});
