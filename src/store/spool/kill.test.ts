// A process that appends is killed at random moments: everything for which append returned is readable, and its folder is that of a
// dead process. A process that is frozen is alive.
import { spawn, type ChildProcess } from "node:child_process";
import { on, once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { readFolder, spoolFolders } from "./folder.ts";
import { claimFolder } from "./owner.ts";
import { SpoolReader } from "./reader.ts";
import { temporaryFolder } from "./testing.ts";

const script = fileURLToPath(new URL("testing/appender.ts", import.meta.url));

interface Appender {
  child: ChildProcess;
  /** The number of the newest record for which append has returned. */
  printed(): number;
  reached(number: number): Promise<void>;
}

/** Starts a process that appends for ever and prints the number of each record after append has returned. */
function appender(root: string, seed: number): Appender {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", script, root, `${seed}`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let last = 0;
  const lines = createInterface({ input: child.stdout! });
  lines.on("line", (line) => (last = Number(line)));
  const reached = async (number: number) => {
    for await (const [line] of on(lines, "line")) if (Number(line) >= number) return;
  };
  return { child, printed: () => last, reached };
}

async function ownerOf(folder: string) {
  const { files } = await readFolder(folder);
  return claimFolder(folder, files.at(-1)!.header.owner);
}

test.each([1, 2, 3, 4, 5, 6])(
  "kill -9 at a random moment loses nothing that append returned for (seed %i)",
  async (seed) => {
    using root = temporaryFolder();
    const { child, printed, reached } = appender(root.path, seed);
    await reached(1 + ((seed * 7919) % 3000));
    const [folder] = spoolFolders(root.path);
    expect((await ownerOf(folder!)).state).toBe("alive");
    child.kill("SIGKILL");
    await once(child, "close");

    let read = 0;
    const { files, unreadable } = await readFolder(folder!);
    expect(unreadable).toEqual([]);
    for (const { path, upTo } of files) {
      await using reader = await SpoolReader.open(path);
      for (let records = await reader.read(upTo); records.length > 0; records = await reader.read(upTo))
        for (const { payload } of records) expect(payload.toString().split(" ")[0]).toBe(`${++read}`);
      expect(["whole", "torn"]).toContain(await reader.ending());
    }
    expect(read).toBeGreaterThanOrEqual(printed());
    expect(printed()).toBeGreaterThan(0);
    const claim = await ownerOf(folder!);
    expect(claim.state).toBe("dead");
  },
);

test("a frozen process is alive", async () => {
  using root = temporaryFolder();
  const { child, reached } = appender(root.path, 1);
  await reached(1);
  child.kill("SIGSTOP");
  const [folder] = spoolFolders(root.path);
  expect((await ownerOf(folder!)).state).toBe("alive");
  child.kill("SIGKILL");
  await once(child, "close");
  expect((await ownerOf(folder!)).state).toBe("dead");
});
