// Decisions: who may do what to which things, that everything else is denied, and that what a caller sees is what it may read.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { testPrincipal, testRunPrincipal } from "../testing.ts";
import type { Principal } from "../types.ts";
import { assertAuthorised, authorise, isForOwners, reachOf, type Resource } from "./authorise.ts";
import { actions, rules, type Action } from "./rules.ts";

const owner = testPrincipal({ key: "key_o" });
const member = testPrincipal({ key: "key_m", role: "member" });
const settles = { startedBy: "key_m", otherOwners: false };
const here: Resource = { organisation: "org_test", project: "prj_test", settles };
const elsewhere: Resource = { ...here, project: "prj_other" };
const foreign: Resource = { ...here, organisation: "org_other" };

const codeOf = (principal: Principal, action: Action, resource: Resource) => {
  const decision = authorise(principal, action, resource);
  return decision.allowed ? "allowed" : decision.code;
};

describe("each action", () => {
  test.each(actions)("%s", (action) => {
    const { least, within } = rules.get(action)!;
    const forMember = least === "owner" ? "owner_only" : "allowed";
    expect(codeOf(owner, action, here)).toBe("allowed");
    expect(codeOf(member, action, here)).toBe(forMember);
    const everywhere = within === "instance";
    expect(codeOf(owner, action, foreign)).toBe(everywhere ? "allowed" : "not_found");
    expect(codeOf(member, action, foreign)).toBe(everywhere ? forMember : "not_found");
    const ownersElsewhere = within === "project" ? "not_found" : "allowed";
    expect(codeOf(owner, action, elsewhere)).toBe(ownersElsewhere);
    const membersElsewhere = within === "project" || within === "view" ? "not_found" : forMember;
    expect(codeOf(member, action, elsewhere)).toBe(membersElsewhere);
    // Nothing is allowed on a thing whose owner is not said.
    expect(codeOf(owner, action, {})).toBe(everywhere ? "allowed" : "not_found");
    expect(isForOwners(action)).toBe(least === "owner");
  });

  test("that is for owners says so in a sentence", () => {
    for (const action of actions.filter((one) => isForOwners(one)))
      expect(authorise(member, action, here)).toMatchObject({
        code: "owner_only",
        message: expect.stringMatching(/^Only an owner's key may [a-z].*\.$/),
        hint: expect.stringMatching(/\.$/),
      });
  });
});

test("an action that has no rule is denied, whatever its name", () => {
  for (const name of ["keys.make", "", "__proto__", "constructor", "toString", "hasOwnProperty"])
    expect(codeOf(owner, name as Action, here)).toBe("action_denied");
});

test("a decision that fails is a denial", () => {
  const broken = Object.defineProperty({ ...here }, "organisation", {
    get: () => {
      throw new Error("away");
    },
  }) as Resource;
  expect(codeOf(owner, "keys.create", broken)).toBe("action_denied");
  expect(codeOf(undefined as never, "keys.create", here)).toBe("action_denied");
});

test("a run calls models and tools of its project, and does nothing else, also for an owner's key", () => {
  const run = testRunPrincipal();
  const may = actions.filter((action) => authorise(run, action, here).allowed);
  expect(may).toEqual(["call.create", "tool.call"]);
  for (const action of may) expect(codeOf(run, action, elsewhere)).toBe("not_found");
});

test("the key that started a run settles its effects only as the only owner's", () => {
  const own = { startedBy: owner.key, otherOwners: true };
  expect(codeOf(owner, "effects.settle", { ...here, settles: own })).toBe("attestation_own_run");
  expect(codeOf(owner, "effects.settle", { ...here, settles: { ...own, otherOwners: false } })).toBe("allowed");
  expect(codeOf(owner, "effects.settle", { ...here, settles: { ...own, startedBy: "key_x" } })).toBe("allowed");
  const { settles: _settles, ...unsaid } = here;
  expect(codeOf(owner, "effects.settle", unsaid)).toBe("action_denied");
});

test("what a principal sees is what it may read", () => {
  const tenants = fc.record({ organisation: fc.constantFrom("org_a", "org_b"), project: fc.constantFrom("p", "q") });
  const readable = actions.filter((action) => !isForOwners(action) && rules.get(action)!.within !== "instance");
  fc.assert(
    fc.property(
      tenants,
      fc.constantFrom("owner" as const, "member" as const),
      tenants,
      fc.constantFrom(...readable),
      (of, role, thing, action) => {
        const principal = testPrincipal({ ...of, role });
        const [organisation, project] = reachOf(principal, action);
        const seen = thing.organisation === organisation && (project === null || project === thing.project);
        expect(authorise(principal, action, thing).allowed).toBe(seen);
      },
    ),
  );
  expect(() => reachOf(owner, "metrics.read")).toThrow(TypeError);
});

test("a denial that is thrown has the status of its code", () => {
  expect(() => assertAuthorised(owner, "keys.create", here)).not.toThrow();
  const thrown = (principal: Principal, resource: Resource) => {
    try {
      assertAuthorised(principal, "keys.create", resource);
    } catch (error) {
      return error;
    }
    return undefined;
  };
  expect(thrown(member, here)).toMatchObject({ status: 403, code: "owner_only" });
  expect(thrown(owner, foreign)).toMatchObject({ status: 404, code: "not_found" });
  expect(thrown(testRunPrincipal(), here)).toMatchObject({ status: 403, code: "action_denied" });
});
