// Manifests whose YAML is expensive to read: very many keys (a check for duplicates compares each with each), aliases that multiply, deep
// nesting.
import type { HostileInput } from "./types.ts";

const published = (name: string, yaml: () => string, status = 400): HostileInput => ({
  name: `yaml: ${name}`,
  method: "POST",
  path: "/api/agents",
  body: () => JSON.stringify({ manifest: yaml() }),
  status,
});

const head = "kind: Agent\nname: a\ninstructions: Answer.\n";

export const manifestInputs: readonly HostileInput[] = [
  published("20,000 keys", () => `${head}input:\n${Array.from({ length: 20_000 }, (_, i) => `  k${i}: 1\n`).join("")}`),
  published(
    "2,000 keys",
    () => `${head}input:\n${Array.from({ length: 2_000 }, (_, i) => `  k${i}: 1\n`).join("")}`,
    200,
  ),
  published(
    "aliases of aliases",
    () =>
      `${head}a: &a [x, x, x, x, x, x, x, x, x]\n${Array.from("bcdefghi", (letter, i) => {
        const before = "abcdefgh"[i];
        return `${letter}: &${letter} [${`*${before}, `.repeat(8)}*${before}]\n`;
      }).join("")}`,
  ),
  published("60,000 open brackets", () => `${head}input: ${"[".repeat(60_000)}`),
  published("200,000 list items", () => `${head}input:\n  a: [${"1,".repeat(100_000)}1]\n`),
  published("one line of 200 KB", () => `${head}input: "${"\\u0041".repeat(33_000)}"\n`),
  published("5,000 problems", () => `${head}${Array.from({ length: 5_000 }, (_, i) => `x${i}: 1\n`).join("")}`),
  published("20,000 comments and tags", () => `${head}input:\n${"  - !x y # z\n".repeat(16_000)}`),
];
