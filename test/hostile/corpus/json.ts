// Bodies that are hostile as JSON: very deep, very many small values, very long strings.
import type { HostileInput } from "./types.ts";

const chat = (fields: string) => `{"model":"scripted","messages":[{"role":"user","content":"hi"}]${fields}}`;
const post = (name: string, status: number, body: () => string): HostileInput => ({
  name,
  method: "POST",
  path: "/v1/chat/completions",
  body,
  status,
});

export const jsonInputs: readonly HostileInput[] = [
  post("ordinary call", 200, () => chat("")),
  post("json: 100,000 nested arrays", 400, () => chat(`,"metadata":${"[".repeat(100_000)}${"]".repeat(100_000)}`)),
  post("json: 100,000 members", 400, () =>
    chat(`,"metadata":{${Array.from({ length: 100_000 }, (_, i) => `"k${i}":0`).join(",")}}`),
  ),
  post("json: not closed, 1 MB", 400, () => `{"model":"${"a".repeat(1_000_000)}`),
];
