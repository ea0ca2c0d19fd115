// The suite in three lanes (docs/testing.md), each a vitest project with only the set-up that it needs. Which lane a file is in follows
// from what it imports (test/lanes.ts). The lanes run one after another, the quick one first, in two workers (the pure lane: three), because
// the machines that run them have two cores.
import { configDefaults, defineConfig } from "vitest/config";
import { guardFile, lanes, testGlobs } from "./test/lanes.ts";

const { room, whole } = lanes();

export default defineConfig({
  test: {
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 180_000,
    hookTimeout: 240_000,
    // How long `expect.poll` waits for what must come true: a machine that stands still for seconds fails no test.
    expect: { poll: { timeout: 60_000 } },
    projects: [
      {
        extends: true,
        test: {
          name: "pure",
          include: testGlobs,
          exclude: [...configDefaults.exclude, ...room, ...whole],
          setupFiles: [guardFile],
          // Files share processes: starting one for each takes longer than the tests of most.
          isolate: false,
          // Its tests wait for clocks and sockets of their own as often as they compute: a third worker fills the pauses of two cores.
          maxWorkers: 3,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: { name: "room", include: room, globalSetup: ["test/setup/postgres.ts"], sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: {
          name: "whole",
          include: whole,
          globalSetup: ["test/setup/model.ts", "test/setup/postgres.ts"],
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
