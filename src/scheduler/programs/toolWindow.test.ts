import { describe, expect, it } from "vitest";
import { exampleSpec } from "../placement/conformance.ts";
import type { EndpointSpeed } from "../types.ts";
import { planTool, type ToolKind } from "./toolWindow.ts";

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
  kind?: ToolKind,
  reload: EndpointSpeed["reloadMsPerToken"] = speed.reloadMsPerToken,
) =>
  planTool({
    tokens,
    fill,
    elapsedMs,
    kind,
    spec: exampleSpec("e", { speed: { ...speed, reloadMsPerToken: reload } }),
  });

// 10,000 tokens of 100,000: 100 ms from host, 500 ms from disk, 1,000 ms to compute.
const rows: [string, ReturnType<typeof plan>, object][] = [
  ["an empty endpoint keeps, even for an approval", plan(10_000, 0.5, 0, "approval"), { verb: "keep", againMs: 1000 }],
  ["a full one keeps over a quick tool", plan(10_000, 1, 0, "quick"), { verb: "keep", keepMs: 100 }],
  [
    "a full one demotes for a slow tool, to the tier that comes back fastest",
    plan(10_000, 1, 0, "slow"),
    { verb: "demote", tier: "host" },
  ],
  ["a quick tool that is not quick is demoted later", plan(10_000, 1, 4000, "quick"), { verb: "demote", tier: "host" }],
  [
    "without a lower tier it stays as long as waiting is cheaper than computing",
    plan(10_000, 1, 4000, undefined, {}),
    { verb: "keep" },
  ],
  ["and is dropped when it is not", plan(10_000, 1, 0, "approval", {}), { verb: "drop" }],
  [
    "a tier slower than computing is no use",
    plan(10_000, 1, 0, "slow", { disk: 0.2 }),
    { verb: "drop", demoteMs: 2000 },
  ],
];

describe("tool window", () => {
  it.each(rows)("%s", (_, made, expected) => {
    expect(made).toMatchObject(expected);
  });
});
