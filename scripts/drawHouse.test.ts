import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { drawHouse } from "./drawHouse.ts";

test("docs/images/house.svg is what src/rooms.ts says (bin/node scripts/drawHouse.ts draws it)", () => {
  expect(readFileSync(join(import.meta.dirname, "../docs/images/house.svg"), "utf8")).toBe(drawHouse());
});

test("draws a line for an import, and none where the line follows from two others", () => {
  const table = {
    top: { what: "uses both", imports: ["middle", "ground"] },
    middle: { what: "uses the ground", imports: ["ground"] },
    ground: { what: "uses nothing", imports: [] },
  };
  expect(drawHouse(table).match(/<path/g)).toHaveLength(2);
});
