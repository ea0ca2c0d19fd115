import { expect, it } from "vitest";
import { limits } from "./limits.ts";
import { Seats, type Place } from "./seats.ts";
import type { Action } from "./types.ts";

const settled = () => new Promise((resolve) => setImmediate(resolve));

it.each([
  ["model", limits.paceLeast],
  ["tool", limits.paceLeast],
  ["lookup", limits.paceLeast],
  // Verifiers' own seats are few: the others wait there, and hold no seat of the engines meanwhile.
  ["verify", limits.verdictStepsMost],
])("a step of kind %s that takes for ever", async (type, seated) => {
  const seats = new Seats({ list: () => [] }, { places: async () => [] });
  const places: Place[] = [];
  const take = (run: string) => seats.take(run, "project").then((place) => place && places.push(place));
  const action = { type } as Action;
  let changed = 0;
  for (let i = 0; i < limits.paceLeast; i++) void take(`slow${i}`);
  await settled();
  for (const [i, place] of places.entries()) {
    const run = { id: `slow${i}`, project: "project" };
    void seats.change(place, run, action).then((waitedMs) => waitedMs !== undefined && changed++);
  }
  await settled();
  for (let i = 0; i < limits.paceLeast; i++) void take(`next${i}`);
  await settled();
  expect(places).toHaveLength(type === "model" ? limits.paceLeast : 2 * limits.paceLeast);
  expect(changed).toBe(seated);
  seats.close();
});
