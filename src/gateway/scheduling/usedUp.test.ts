// The alarm about an account that is used up: raised by a call that its provider refuses for it, gone with the next answer.
import { expect, test } from "vitest";
import { memoryGateway } from "../testing/memoryGateway.ts";
import { busyFor } from "./busy.ts";
import { UsedUpAccounts } from "./usedUp.ts";
import { EngineError, type RegisteredEndpoint } from "../../engines/index.ts";

const refused = { fail: { status: 429, body: { error: { message: "no", code: "insufficient_quota" } } } };

test("a call that a provider refuses for its account raises it, and one that is only too early does not", async () => {
  await using at = await memoryGateway({ script: refused });
  await expect(at.gateway.call(at.request())).rejects.toMatchObject({ code: "engine_quota" });
  expect(at.alarms).toEqual(["engine_account_used_up"]);
  expect(busyFor(at.engines.get("scripted")!)).toBeGreaterThan(0);
  await using busy = await memoryGateway({ script: { fail: { status: 429, headers: { "retry-after": "1" } } } });
  await expect(busy.gateway.call(busy.request())).rejects.toMatchObject({ code: "engine_busy" });
  expect(busy.alarms).toEqual([]);
});

test("it goes once, when the endpoint has answered again", () => {
  const told: string[] = [];
  const accounts = new UsedUpAccounts({
    raise: ({ code, subject }) => void told.push(`${code} of ${subject}`),
    clear: ({ code, subject }) => void told.push(`${code} of ${subject} is over`),
  });
  const endpoint = { endpoint: "paid", organisation: "org_1" } as RegisteredEndpoint;
  accounts.answered(endpoint);
  accounts.failed(endpoint, new EngineError({ status: 429, code: "engine_quota", message: "no" }));
  accounts.answered(endpoint);
  accounts.answered(endpoint);
  expect(told).toEqual(["engine_account_used_up of paid", "engine_account_used_up of paid is over"]);
});
