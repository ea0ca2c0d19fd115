// The suite against a real SGLang, whose installation takes gigabytes: not among the tests of `npm test`.
// docs/testing.md says how to get it.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/conformance/sglang.live.ts"],
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 180_000,
    hookTimeout: 300_000,
  },
});
