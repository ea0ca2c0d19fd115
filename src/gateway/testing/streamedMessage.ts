// What tests read out of the streams of chat completions.
type Json = Record<string, any>;

/** The message of a streamed chat completion, as clients put it together. */
export function messageIn(text: string): Json {
  const message: Json = {
    role: "assistant",
    content: null,
    reasoning_content: "",
    reasoning_details: [],
    tool_calls: [],
  };
  for (const line of text.split("\n")) {
    if (!line.startsWith("data: {")) continue;
    const delta = (JSON.parse(line.slice(6)) as Json)["choices"][0]?.delta ?? {};
    message["reasoning_content"] += delta.reasoning_content ?? "";
    message["reasoning_details"].push(...(delta.reasoning_details ?? []));
    for (const { index, id, function: called } of delta.tool_calls ?? []) {
      const call = (message["tool_calls"][index] ??= { type: "function", function: { name: "", arguments: "" } });
      if (id !== undefined) call.id = id;
      call.function.name += called.name ?? "";
      call.function.arguments += called.arguments ?? "";
    }
  }
  return message;
}
