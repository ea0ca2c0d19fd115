// Suites that other people wrote, against a gateway with the rule engine behind it. They need packages from the registries (docs/testing.md)
// and are not among the tests of `npm test`.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/conformance/suites.live.ts"],
    globalSetup: ["test/setup/postgres.ts"],
    pool: "forks",
    maxWorkers: 1,
    testTimeout: 600_000,
    hookTimeout: 1_200_000,
  },
});
