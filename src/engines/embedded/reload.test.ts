import { expect, it } from "vitest";
import { ReloadPace } from "./reload.ts";

it("begins with what was measured once, then is what this worker sees, the newest a fifth of it", () => {
  const pace = new ReloadPace();
  expect(pace.msPerToken).toBe(0.006);
  pace.note(1000, 20);
  expect(pace.msPerToken).toBeCloseTo(0.02);
  pace.note(1000, 120);
  expect(pace.msPerToken).toBeCloseTo(0.04);
});

it("learns nothing from states too short to tell, or from a clock that went back", () => {
  const pace = new ReloadPace();
  pace.note(10, 20);
  pace.note(1000, -1);
  expect(pace.msPerToken).toBe(0.006);
});
