// Bodies that are large in different ways and within the size limit of a body: the work of reading, parsing, checking and pricing them
// grows with their size.
import type { HostileInput } from "./types.ts";

const mib = 2 ** 20;
const input = (name: string, status: number, body: () => string, path = "/v1/chat/completions"): HostileInput => ({
  name: `body: ${name}`,
  method: "POST",
  path,
  body,
  status,
});

const filled = (head: string, part: string, tail: string, bytes: number): string =>
  head + part.repeat(Math.floor((bytes - head.length - tail.length) / part.length)) + tail;

const hi = '"messages":[{"role":"user","content":"hi"}]';
/** Lists of numbers where none belong, and lists and members of which every one is wrong: a schema library reports each of them. */
const wrong = (name: string, head: string, part: string, tail: string, bytes = 3_900_000) =>
  input(name, 400, () => filled(head, part, tail, bytes));
const wrongMembers = (field: string, value: string) =>
  input(`50,000 wrong members of ${field}`, 400, () => {
    const members = Array.from({ length: 50_000 }, (_, i) => `"k${i}":${value}`).join(",");
    return `{"model":"scripted",${hi},"${field}":{${members}}}`;
  });

const numberLists: readonly HostileInput[] = [
  wrong("3.9 MB of numbers for messages", '{"model":"scripted","messages":[0', ",0", "]}"),
  wrong("100 KB of numbers for messages", '{"model":"scripted","messages":[0', ",0", "]}", 100_000),
  wrong("3.9 MB of numbers for a content", '{"model":"scripted","messages":[{"role":"user","content":[0', ",0", "]}]}"),
  wrong(
    "100 KB of numbers for a content",
    '{"model":"scripted","messages":[{"role":"user","content":[0',
    ",0",
    "]}]}",
    100_000,
  ),
  wrong("3.9 MB of numbers for stop", `{"model":"scripted",${hi},"stop":[0`, ",0", "]}"),
  wrong("3.9 MB of numbers for tools", `{"model":"scripted",${hi},"tools":[0`, ",0", "]}"),
  wrong("3.9 MB of halves for stop_token_ids", `{"model":"scripted",${hi},"stop_token_ids":[0.5`, ",0.5", "]}"),
  input("40,000 wrong parts", 400, () =>
    filled('{"model":"scripted","messages":[{"role":"user","content":[{}', ",{}", "]}]}", 120_000),
  ),
  wrongMembers("logit_bias", "[]"),
  wrongMembers("metadata", "0"),
  wrongMembers("chat_template_kwargs", "[]"),
  input("190 KB of numbers for a key's name", 400, () => filled('{"name":[0', ",0", "]}", 190_000), "/api/keys"),
  input("190 KB of numbers for addresses", 400, () => filled('{"urls":[0', ",0", "]}", 190_000), "/api/engines"),
];

export const bodyInputs: readonly HostileInput[] = [
  input("31 MB of one text", 200, () =>
    filled('{"model":"scripted","messages":[{"role":"user","content":"', "a", '"}]}', 31 * mib),
  ),
  input("31 MB of one text of three-byte letters", 200, () =>
    filled('{"model":"scripted","messages":[{"role":"user","content":"', "€", '"}]}', 10 * mib),
  ),
  input("31 MB of one text, with a name given twice", 400, () =>
    filled('{"model":"a","messages":[{"role":"user","content":"', "a", '"}],"model":"scripted"}', 31 * mib),
  ),
  input("31 MB of escapes", 200, () =>
    filled('{"model":"scripted","messages":[{"role":"user","content":"', "\\u0041", '"}]}', 31 * mib),
  ),
  input("31 MB of empty lists", 400, () =>
    filled('{"model":"scripted","messages":[{"role":"user","content":"hi"}],"metadata":[[]', ",[]", "]}", 31 * mib),
  ),
  input("8 MB of messages", 400, () =>
    filled(
      '{"model":"scripted","messages":[{"role":"user","content":"hi"}',
      ',{"role":"user","content":"a"}',
      "]}",
      8 * mib,
    ),
  ),
  input("8 MB of content parts", 400, () =>
    filled(
      '{"model":"scripted","messages":[{"role":"user","content":[{"type":"text","text":"a"}',
      ',{"type":"text","text":"a"}',
      "]}]}",
      8 * mib,
    ),
  ),
  input("8 MB of wrong messages", 400, () => filled('{"model":"scripted","messages":[{}', ",{}", "]}", 8 * mib)),
  input(
    "8 MB of token ids",
    400,
    () => filled('{"model":"scripted","prompt":[1', ",7", "]}", 8 * mib),
    "/v1/completions",
  ),
  input(
    "8 MB of prompts",
    400,
    () => filled('{"model":"scripted","prompt":["a"', ',"a"', "]}", 8 * mib),
    "/v1/completions",
  ),
  input(
    "8 MB of prompts of token ids",
    400,
    () => filled('{"model":"scripted","prompt":[[1]', ",[1]", "]}", 8 * mib),
    "/v1/completions",
  ),
  ...numberLists,
  input("a model's name of 31 MB", 400, () =>
    filled('{"messages":[{"role":"user","content":"hi"}],"model":"', "a", '"}', 31 * mib),
  ),
  input("30 MB in a stop string", 200, () =>
    filled('{"model":"scripted","messages":[{"role":"user","content":"hi"}],"stop":["', "a", '"]}', 30 * mib),
  ),
  input("400 KB of one text", 200, () =>
    filled('{"model":"scripted","messages":[{"role":"user","content":"', "word ", '"}]}', 400_000),
  ),
  input("4 MB of one text", 200, () =>
    filled('{"model":"scripted","messages":[{"role":"user","content":"', "word ", '"}]}', 4_000_000),
  ),
  input(
    "4 MB of an agent's manifest",
    400,
    () => filled('{"manifest":{"a":[0', ",0", "]}}", 4 * mib - 10),
    "/api/agents",
  ),
  input(
    "4 MB of a run's input",
    400,
    () => filled('{"agent":"none","input":[0', ",0", "]}", 4 * mib - 10),
    "/api/runs",
  ),
  input(
    "4 MB of wrong fields",
    400,
    () => {
      const fields = Array.from({ length: 250_000 }, (_, i) => `"f${i}":0`).join(",");
      return `{${fields}}`;
    },
    "/api/keys",
  ),
  // Just within the bounds of JSON: inputs that pass the bounds must be processed quickly, too.
  input(
    "1,900,000 token ids",
    200,
    () => filled('{"model":"scripted","prompt":[1', ",7", "]}", 3_800_000),
    "/v1/completions",
  ),
  input("50,000 wrong messages", 400, () => filled('{"model":"scripted","messages":[{}', ",{}", "]}", 150_000)),
  input("14,000 messages", 200, () =>
    filled(
      '{"model":"scripted","messages":[{"role":"user","content":"hi"}',
      ',{"role":"user","content":"a"}',
      "]}",
      14_000 * 31,
    ),
  ),
  input("50,000 wrong content parts", 400, () =>
    filled('{"model":"scripted","messages":[{"role":"user","content":[{}', ",{}", "]}]}", 150_000),
  ),
];
