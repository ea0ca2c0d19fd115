// A conversation in which a small model calls a tool, because it has done so before.

/** A tool whose arguments can be only these. */
export const scale = {
  type: "function",
  function: {
    name: "weigh",
    description: "Weighs something",
    parameters: { type: "object", properties: { unit: { type: "string", enum: ["kg"] } }, required: ["unit"] },
  },
};

const weighed = (id: string) => [
  { role: "user", content: "Weigh it." },
  {
    role: "assistant",
    content: "",
    tool_calls: [{ id, type: "function", function: { name: "weigh", arguments: '{"unit":"kg"}' } }],
  },
  { role: "tool", tool_call_id: id, content: "5 kg" },
];

export const weighing: Record<string, unknown>[] = [
  ...["call_1", "call_2", "call_3"].flatMap(weighed),
  { role: "user", content: "Weigh it." },
];
