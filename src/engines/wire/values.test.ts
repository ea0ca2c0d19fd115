// The length of JSON that is not written.
import { expect, test } from "vitest";
import { jsonLength } from "./values.ts";

test.each([
  [[]],
  [{}],
  ["text"],
  [12.5],
  [[1, null, true, false, "x"]],
  [
    {
      messages: [
        { role: "user", content: "hi" },
        { role: "tool", content: [{ type: "text", text: "" }] },
      ],
      n: -3,
    },
  ],
  [{ left: undefined, right: 1 }],
])("is that of the text: %j", (value) => {
  expect(jsonLength(value)).toBe(JSON.stringify(value).length);
});

test("escapes are not counted, and what is absent has no length", () => {
  expect(jsonLength('a "b"')).toBe('"a "b""'.length);
  expect(jsonLength(undefined)).toBe(0);
});
