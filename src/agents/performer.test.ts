// The effect edge: whether a run may call tools is asked before each tool call, before anything is claimed or sent.
import { expect, test, vi } from "vitest";
import { testRunPrincipal } from "../governance/testing.ts";
import { Performer, type ActingRun } from "./performer.ts";
import { pinnedTool, stateOf } from "./testing/states.ts";

test.each([
  { name: "a tool", type: "tool" as const, effect: false },
  { name: "an effect", type: "tool" as const, effect: true },
  { name: "a lookup", type: "lookup" as const, effect: true },
])(
  "$name of another project than the principal's is not called, and the step fails for good",
  async ({ type, effect }) => {
    const called = vi.fn();
    const db = { query: called };
    const gateway = { tell: called };
    const parts = { effects: { perform: called, lookUp: called }, tools: { call: called }, sandbox: {} };
    const performer = new Performer({ db, gateway } as never, parts as never);
    const principal = testRunPrincipal({ project: "prj_other" });
    const run = { id: "run_1", organisation: "org_test", project: "prj_test", principal } as ActingRun;
    const tool = pinnedTool("act", { effect, lookup: { name: "find", hash: "" } });
    const action = { type, name: "act", tool, arguments: {}, decidedBy: { step: 0, ordinal: 0 }, failure: "ends" };
    const step = performer.perform(run, stateOf({ tools: [] }), action as never, new AbortController().signal);
    await expect(step).rejects.toMatchObject({ code: "not_found", retryAfterMs: undefined });
    expect(called).not.toHaveBeenCalled();
  },
);
