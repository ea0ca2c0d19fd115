// The table of complaints names tests that exist: one that was renamed or removed leaves a complaint without its proof.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../lanes.ts";
import { complaints } from "./table.ts";

describe.each(complaints)("$from: $what", ({ tests, because }) => {
  test("has a test, or a reason why there is none", () => {
    expect(tests.length === 0).toBe(because !== undefined);
    for (const [file, title] of tests) {
      expect(existsSync(join(root, file)), file).toBe(true);
      expect(
        title,
        "name a title as far as its first placeholder: it is compared with what stands in its place",
      ).not.toMatch(/%[sdifjo#]|\$\{/);
      const text = readFileSync(join(root, file), "utf8");
      const begins = ['"', "`"].some(
        (quote) => text.includes(`(${quote}${title}`) || text.includes(`\n    ${quote}${title}`),
      );
      expect(begins, `${file} has no test whose title begins with: ${title}`).toBe(true);
    }
  });
});
