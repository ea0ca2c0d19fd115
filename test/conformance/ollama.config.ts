// The suite against a real Ollama, which is built in minutes and is no dependency: not among the tests of `npm test`.
// docs/testing.md says how to get it.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/conformance/ollama.live.ts"],
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 180_000,
    hookTimeout: 300_000,
  },
});
