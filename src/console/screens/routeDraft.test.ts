import { describe, expect, test } from "vitest";
import { modelRouteSet, type ModelRouteResource } from "../../contract/index.ts";
import { asksNothing, draftOf, problemsOf, routeOf, type RouteDraft } from "./routeDraft.ts";

const own = { id: "prj_1", name: "default" };
const whole: ModelRouteResource = {
  model: "claude-*",
  serves: "m",
  fallbacks: ["n", "o"],
  retry: { most: 2, wait_most_ms: 5_000 },
  hedge: { after_ms: 800, share: 0.1 },
  continues: false,
  marks: "auto",
  cache: { projects: ["prj_1", "prj_2"], when: "any", tools: true, keep_seconds: 3_600 },
  updated_at: "2026-01-01T00:00:00Z",
};

test("a route is the same after its form, whatever it has", () => {
  const { updated_at: _, ...said } = whole;
  expect(routeOf(draftOf(whole, own), own)).toEqual(said);
  for (const member of Object.keys(said).filter((name) => name !== "model")) {
    const one = { model: "m", updated_at: "", [member]: said[member as keyof typeof said] } as ModelRouteResource;
    const { updated_at: _u, ...alone } = one;
    expect(routeOf(draftOf(one, own), own)).toEqual(alone);
    expect(() => modelRouteSet.parse(alone)).not.toThrow();
  }
});

test("an empty form asks for nothing, and shares in the own project once it shares", () => {
  const empty = draftOf(undefined, own, "m");
  expect([problemsOf(empty), asksNothing(empty, own)]).toEqual([{}, true]);
  expect(routeOf({ ...empty, shares: true }, own)).toEqual({ model: "m", cache: { projects: ["prj_1"] } });
  expect(routeOf({ ...empty, hedgeAfterMs: "800" }, own).hedge).toEqual({ after_ms: 800, share: 0.05 });
});

describe("what is wrong is said by field, as the API would refuse it", () => {
  test.each<[Partial<RouteDraft>, keyof RouteDraft]>([
    [{ serves: "m" }, "serves"],
    [{ fallbacks: ["m"] }, "fallbacks"],
    [{ serves: "n", fallbacks: ["n"] }, "fallbacks"],
    [{ fallbacks: ["n", "n"] }, "fallbacks"],
    [{ fallbacks: [""] }, "fallbacks"],
    [{ fallbacks: Array.from({ length: 9 }, (_, place) => `n${place}`) }, "fallbacks"],
    [{ attempts: "0" }, "attempts"],
    [{ attempts: "7" }, "attempts"],
    [{ attempts: "1.5" }, "attempts"],
    [{ waitMs: "60001" }, "waitMs"],
    [{ hedgeAfterMs: "0" }, "hedgeAfterMs"],
    [{ hedgeAfterMs: "800", hedgeShare: "5%" }, "hedgeShare"],
    [{ hedgeAfterMs: "800", hedgeShare: "1.1" }, "hedgeShare"],
    [{ hedgeShare: "0.1" }, "hedgeShare"],
    [{ shares: true, projects: " , " }, "projects"],
    [{ shares: true, keepSeconds: "2592001" }, "keepSeconds"],
    [{ model: "m".repeat(201) }, "model"],
  ])("%j", (change, field) => {
    expect(Object.keys(problemsOf({ ...draftOf(undefined, own, "m"), ...change }))).toEqual([field]);
  });
});
