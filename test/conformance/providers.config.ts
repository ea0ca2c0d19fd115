// Recorded exchanges with real providers, which are in no package: not among the tests of `npm test`. docs/testing.md says how to get them.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/conformance/providers.live.ts"],
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 180_000,
    hookTimeout: 300_000,
  },
});
