import { EventEmitter } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import "../../test/setup/processes.ts";
import { keep, type KeepOptions } from "./keeper.ts";
import { crashesMost, healthyAfterMs, restartCeilingMs, restartFloorMs, Restarts, windowMs } from "./restarts.ts";

/** What a main process does in each of its lives, the last of them again and again. */
const program = `
  import { writeFileSync } from "node:fs";
  const lives = JSON.parse(process.argv[1]);
  const life = lives[Math.min(Number(process.env.LINESHAFT_RESTARTS), lives.length - 1)];
  const say = (message) => new Promise((resolve) => process.send(message, resolve));
  if (life.ready) await say("ready");
  if (life.hang) for (;;) {}
  if (life.wait) {
    process.on("SIGTERM", async () => { await say("stopping"); process.exit(life.exit); });
    process.on("disconnect", () => process.exit(9));
    writeFileSync(life.listens, "");
    setInterval(() => {}, 1000);
  } else if (life.kill) process.kill(process.pid, "SIGKILL");
  else process.exit(life.exit);
`;

interface Life {
  ready?: boolean;
  hang?: boolean;
  wait?: boolean;
  /** Where a main that waits says that it listens for signals. */
  listens?: string;
  kill?: boolean;
  exit?: number;
}

async function kept(lives: Life[], options: Partial<KeepOptions> = {}) {
  const notes: string[] = [];
  const pauses: number[] = [];
  let ended = 0;
  const code = await keep({
    command: process.execPath,
    args: ["--input-type=module", "--eval", program, JSON.stringify(lives)],
    env: process.env,
    note: (line) => void notes.push(line),
    endChildren: async () => void ended++,
    pause: async (ms) => void pauses.push(ms),
    ...options,
  });
  return { code, notes, pauses, childrenEnded: ended };
}

test("a start that fails says why by its exit code, is not tried again, and leaves nothing running", async () => {
  expect(await kept([{ exit: 2 }])).toEqual({ code: 2, notes: [], pauses: [], childrenEnded: 1 });
});

test("an exit after it was ready is a crash, and it is started again until it is asked to stop", async () => {
  const { code, notes, pauses } = await kept([{ ready: true, exit: 1 }, { ready: true, kill: true }, { exit: 0 }]);
  expect([code, pauses]).toEqual([0, [restartFloorMs, 2 * restartFloorMs]]);
  expect(notes).toEqual([
    "Lineshaft ended with status 1. It is started again in 0.5 s.",
    "Lineshaft was ended by SIGKILL. It is started again in 1 s.",
  ]);
});

test("a start that is killed is tried again: memory may have been short for a moment", async () => {
  const { code, notes } = await kept([{ kill: true }, { exit: 0 }]);
  expect([code, notes[0]]).toEqual([0, expect.stringContaining("was ended by SIGKILL while it started")]);
});

test("a main that hangs is killed and started again", async () => {
  const { code, notes } = await kept([{ ready: true, hang: true }, { exit: 0 }], { silentMs: 200 });
  expect([code, notes]).toEqual([
    0,
    ["Lineshaft did not answer any more and was ended. It is started again in 0.5 s."],
  ]);
});

test("one that crashes again and again is given up, and nothing of it is left", async () => {
  const { code, notes, pauses, childrenEnded } = await kept([{ ready: true, exit: 1 }]);
  expect([code, pauses.length, childrenEnded]).toEqual([1, crashesMost, 1]);
  expect(notes.slice(-3).join("\n")).toMatch(/^error: .*\n {2}why: {2}.*status 1.*\n {2}next: /);
});

test("a signal is passed on, and main's own exit code with it", async () => {
  const signals = new EventEmitter() as NodeJS.Process;
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-keeper-"));
  const listens = join(folder, "listens");
  const keeping = kept([{ ready: true, wait: true, exit: 130, listens }], { signals });
  // Until main listens, the signal would end it as it ends any program.
  await expect.poll(() => existsSync(listens), { timeout: 60_000 }).toBe(true);
  signals.emit("SIGTERM", "SIGTERM");
  expect(await keeping).toMatchObject({ code: 130, notes: [], childrenEnded: 1 });
  rmSync(folder, { recursive: true });
});

test("a main that does not end when it is asked to is killed, and its children are ended", async () => {
  const signals = new EventEmitter() as NodeJS.Process;
  const keeping = kept([{ ready: true, hang: true }], { signals, stopMs: 50 });
  while (signals.listenerCount("SIGINT") === 0) await turn();
  signals.emit("SIGINT", "SIGSTOP");
  expect(await keeping).toMatchObject({ code: 0, childrenEnded: 1 });
});

test("a signal during the pause ends it: nothing is started any more", async () => {
  const signals = new EventEmitter() as NodeJS.Process;
  const pause = async () => void signals.emit("SIGTERM", "SIGTERM");
  expect(await kept([{ ready: true, exit: 1 }], { signals, pause })).toMatchObject({ code: 0, childrenEnded: 1 });
});

test("pauses double to a ceiling, begin anew after a healthy life, and end when crashes are too many in a window", () => {
  const restarts = new Restarts();
  const pauses = Array.from({ length: 8 }, (_, crash) => restarts.crashed(crash, 0));
  expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, restartCeilingMs, restartCeilingMs]);
  expect(restarts.crashed(8, healthyAfterMs)).toBe(restartFloorMs);
  expect(restarts.crashed(9, 0)).toBe(2 * restartFloorMs);
  expect(restarts.crashed(10, 0)).toBeUndefined();
  expect(restarts.crashed(windowMs + 11, healthyAfterMs)).toBe(restartFloorMs);
});

test("the keeper is small: it imports Node and two files that import nothing, and the rest only when it must", () => {
  const imports = (file: string) =>
    [...readFileSync(new URL(file, import.meta.url), "utf8").matchAll(/^import .* from "([^"]+)";$/gm)].map(
      (match) => match[1]!,
    );
  expect(imports("./keeper.ts").filter((from) => !from.startsWith("node:"))).toEqual([
    "../fleet/silence.ts",
    "./restarts.ts",
  ]);
  expect(imports("../fleet/silence.ts")).toEqual([]);
  expect(imports("./restarts.ts")).toEqual([]);
});
