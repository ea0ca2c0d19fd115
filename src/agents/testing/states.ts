// States of a run, pinned tools and the example's manifest for table tests: values only, nothing is started.
import { readFileSync } from "node:fs";
import { parse as parseYaml } from "yaml";
import { checkManifest } from "../manifest.ts";
import type { Manifest } from "../manifestSchema.ts";
import { toolsOf } from "../taint.ts";
import type { PinnedTool, Published, RunState, StepResult } from "../types.ts";

export const exampleFolder = new URL("../../../examples/maintenance-inspector/", import.meta.url);

/** The example's manifest as an object that a test may change, and its verifier. */
export function readExample(): { manifest: Manifest; files: Record<string, string> } {
  const manifest = parseYaml(readFileSync(new URL("agent.yaml", exampleFolder), "utf8")) as Manifest;
  return { manifest, files: { "verifier.js": readFileSync(new URL("verifier.js", exampleFolder), "utf8") } };
}

export function pinnedTool(name: string, more: Partial<PinnedTool> = {}): PinnedTool {
  return {
    kind: "mcp",
    name,
    server: "plant",
    url: "http://127.0.0.1:1/mcp",
    description: name,
    hash: "sha256:0",
    inputSchema: { type: "object", properties: { machine: { type: "string" } }, required: ["machine"] },
    effect: false,
    acceptsKey: false,
    seconds: 30,
    slow: false,
    ...more,
  };
}

/** A state from a manifest in short (kind, name and instructions are filled in) and the steps taken. */
export function stateOf(
  manifest: Record<string, unknown>,
  steps: Partial<StepResult>[] = [],
  more: Partial<RunState> = {},
): RunState {
  const checked = checkManifest({ kind: "Agent", name: "a", instructions: "Be brief.", ...manifest });
  const published: Published = {
    manifest: { ...checked, model: "m" },
    tools: [...toolsOf(checked)].map(([name, { effect, accepts_key, lookup }]) =>
      pinnedTool(name, {
        effect,
        acceptsKey: accepts_key,
        ...(lookup !== undefined && { lookup: { name: lookup, hash: "sha256:1" } }),
      }),
    ),
    ...(checked.outcome && { evidence: "independent" as const }),
  };
  return {
    run: "run_1",
    published,
    input: { machine: "M-1" },
    tokensUsed: 0,
    steps: steps.map((step, number) => ({
      number,
      kind: "tool",
      name: "s",
      status: "completed",
      output: null,
      ...step,
    })),
    ...more,
  };
}
