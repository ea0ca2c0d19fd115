// The suite against a real vLLM, which takes minutes and an installation of 6 GB: not among the tests of `npm test`.
// docs/testing.md says how to install it.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/conformance/vllm.live.ts"],
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 180_000,
    hookTimeout: 600_000,
  },
});
