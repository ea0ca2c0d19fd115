// Creations that may be sent again: what is remembered of them, and for how many.
import type { Context } from "hono";
import { expect, test, vi } from "vitest";
import { limits } from "./limits.ts";
import { idempotent } from "./idempotency.ts";
import type { ApiEnv } from "./helpers.ts";

/** A creation by an owner of the organisation, with this Idempotency-Key. */
function create<Answer>(organisation: string, key: string, make: () => Promise<Answer>, body: unknown = { name: key }) {
  const request = { method: "POST", path: "/api/keys", header: () => key };
  const principal = { organisation, key: `key of ${organisation}` };
  return idempotent({ req: request, var: { principal } } as unknown as Context<ApiEnv>, body, make);
}

test("creations of one organisation never push out those of another", async () => {
  const made = vi.fn(async () => ({ secret: made.mock.calls.length }));
  const first = await create("org_a", "first", made);
  for (let one = 0; one <= limits.creationsRemembered; one++) await create("org_b", `k${one}`, async () => one);
  expect(await create("org_a", "first", made)).toBe(first);
  expect(made).toHaveBeenCalledTimes(1);
  // What was remembered longest of one that makes very many goes first.
  expect(await create("org_b", "k1", async () => "anew")).toBe(1);
  expect(await create("org_b", "k0", async () => "anew")).toBe("anew");
});

test("a creation that failed is tried anew, also where it fails late", async () => {
  await expect(create("org_c", "k", () => Promise.reject(new Error("away")))).rejects.toThrow("away");
  expect(await create("org_c", "k", async () => "made")).toBe("made");
  expect(await create("org_c", "k", async () => "again")).toBe("made");
});

test("what is remembered for a day is forgotten then", async () => {
  const now = vi.spyOn(Date, "now").mockReturnValue(1_000_000);
  try {
    expect(await create("org_d", "k", async () => "first")).toBe("first");
    now.mockReturnValue(1_000_000 + limits.creationRememberedMs);
    expect(await create("org_d", "k", async () => "second", { name: "other" })).toBe("second");
  } finally {
    now.mockRestore();
  }
});
