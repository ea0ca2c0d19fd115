import { describe, expect, it } from "vitest";
import { exampleSpec } from "../placement/conformance.ts";
import type { EndpointSpeed } from "../types.ts";
import { planTool } from "./toolWindow.ts";

const speed: EndpointSpeed = {
  prefillTokensPerSecond: 10_000,
  decodeTokensPerSecond: 50,
  reloadMsPerToken: { host: 0.01, disk: 0.05 },
  overheadMs: 1,
};
const plan = (
  tokens: number,
  fill: number,
  elapsedMs: number,
  msPerReturn: number,
  reload: EndpointSpeed["reloadMsPerToken"] = speed.reloadMsPerToken,
) =>
  planTool({
    tokens,
    fill,
    elapsedMs,
    msPerReturn,
    spec: exampleSpec("e", { speed: { ...speed, reloadMsPerToken: reload } }),
  });

// 10,000 tokens of 100,000: 100 ms from host, 500 ms from disk, 1,000 ms to compute.
const rows: [string, ReturnType<typeof plan>, object][] = [
  ["an empty endpoint keeps, however long", plan(10_000, 0.5, 0, 1e7), { verb: "keep", againMs: 1000 }],
  ["a full one keeps over a quick tool", plan(10_000, 1, 0, 1000), { verb: "keep", keepMs: 100 }],
  [
    "a full one demotes for a slow tool, to the tier that comes back fastest",
    plan(10_000, 1, 0, 60_000),
    { verb: "demote", tier: "host" },
  ],
  ["the question is asked again later, the longer the tool runs", plan(10_000, 1, 4000, 900), { againMs: 4000 }],
  ["without a lower tier the engine gives it up when it must", plan(10_000, 1, 0, 11_000, {}), { verb: "keep" }],
  [
    "a tier slower than computing is no use",
    plan(10_000, 1, 0, 60_000, { disk: 0.2 }),
    { verb: "keep", demoteMs: 2000 },
  ],
  [
    "what will not come back is not kept on the device",
    plan(10_000, 1, 0, Number.POSITIVE_INFINITY),
    { verb: "demote", tier: "host" },
  ],
];

describe("tool window", () => {
  it.each(rows)("%s", (_, made, expected) => {
    expect(made).toMatchObject(expected);
  });
});
