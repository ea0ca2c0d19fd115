// A value whose check uses up the CPU time of one task: two seconds, which the test spends.
import { expect, test } from "vitest";
import "../../test/setup/costly.ts";
import { boundedSchema, CheckBusyError, valueProblem } from "./index.ts";
import { pool } from "./pool.ts";

test("what passes its limit of time fails alone, and costs nothing again", async () => {
  const inside = { properties: { a: { $ref: "#" } } };
  const schema = { allOf: [inside, { ...inside }] };
  let value: unknown = 1;
  for (let level = 0; level < 40; level++) value = { a: value };
  const check = () => valueProblem(boundedSchema(schema), JSON.stringify(value), "org");
  // A busy machine may not spend the CPU limit before the time limit. The test then asks again.
  const checked = async (): ReturnType<typeof check> =>
    check().catch((error: unknown) => {
      if (error instanceof CheckBusyError) return checked();
      throw error;
    });
  const slow = checked();
  expect(await valueProblem(boundedSchema({ type: "string" }), '"a"', "other")).toBeUndefined();
  expect((await slow)?.message).toMatch(/takes more than 2000 ms|needs more than 256 MB/);
  const before = pool.load;
  const again = check();
  expect(pool.load).toBe(before);
  expect((await again)?.message).toMatch(/takes more than|needs more than/);
});
