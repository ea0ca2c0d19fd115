// Real clients, unmodified, against a real instance: minutes, and 1.5 GB of packages that are installed at the first run. Not among the
// tests of `npm test` (docs/testing.md). One file at a time, because agents and the model share the machine's cores.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/clients/*.live.ts"],
    globalSetup: ["test/setup/model.ts", "test/setup/postgres.ts"],
    pool: "forks",
    maxWorkers: 1,
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 1_200_000,
  },
});
