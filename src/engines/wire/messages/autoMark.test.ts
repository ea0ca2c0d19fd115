// Marks of the prompt cache for clients that set none.
import { expect, test } from "vitest";
import { autoMarked } from "./autoMark.ts";

const cache_control = { type: "ephemeral" };
const text = { type: "text", text: "hi" };

test.each<[string, object]>([
  ["with texts as strings", { system: "s", messages: [{ role: "user", content: "hi" }] }],
  ["with blocks", { system: [text], messages: [{ role: "user", content: [text] }], tools: [{ name: "f" }] }],
  ["with a mark that says none", { cache_control: null, messages: [] }],
])("a body without a mark gets one of the whole: %s", (_, body) => {
  const marked = autoMarked({ ...body });
  expect(marked).toEqual({ ...body, cache_control });
});

test.each<[string, object]>([
  ["of the whole", { cache_control, messages: [] }],
  ["of a tool", { tools: [{ name: "f", cache_control }] }],
  ["of the system", { system: [{ ...text, cache_control }] }],
  [
    "of a message",
    {
      messages: [
        { role: "user", content: "hi" },
        { role: "user", content: [{ ...text, cache_control }] },
      ],
    },
  ],
])("a client's own mark stands alone: %s", (_, body) => {
  const given = { ...body };
  expect(autoMarked(given)).toBe(given);
});
