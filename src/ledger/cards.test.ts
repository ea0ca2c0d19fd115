import fc from "fast-check";
import { expect, test } from "vitest";
import { cardOf, cardRecord } from "./cards.ts";
import { anyCard } from "./testing.ts";

test("every card survives being written as JSON and read back", () => {
  fc.assert(
    fc.property(anyCard, fc.boolean(), fc.option(fc.date({ noInvalidDate: true })), (drawn, estimate, from) => {
      const card = { ...drawn, ...(estimate && { estimate: true as const }), ...(from && { validFrom: from }) };
      expect(cardOf(JSON.parse(JSON.stringify(cardRecord(card))))).toEqual(card);
    }),
  );
});

test("a card that has three prices alone is written as them alone", () => {
  const card = { id: "c", model: "m", version: 1, currency: "USD" };
  const prices = { inputNanoPerMillion: 1n, cachedNanoPerMillion: 2n, outputNanoPerMillion: 3n };
  expect(cardRecord({ ...card, ...prices })).toEqual({ ...card, input: "1", cached: "2", output: "3" });
});
