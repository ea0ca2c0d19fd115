import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { restartsVariable } from "./keeper.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-kept-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

test.each([
  ["before main looks", "await gone;\nwatch();"],
  ["while main looks", "watch();\nawait gone;"],
])("a keeper that goes away %s stops main", async (_when, steps) => {
  const file = join(folder, "main.mjs");
  writeFileSync(
    file,
    `import { Kept } from ${JSON.stringify(new URL("./kept.ts", import.meta.url).href)};
    const gone = new Promise((resolve) => process.once("disconnect", resolve));
    const kept = new Kept(process.env);
    const watch = () => kept.watch(() => process.exit(7));
    // What main has to do keeps it alive, until a time that no test waits for.
    setTimeout(() => process.exit(1), 600_000);
    process.send("started");
    ${steps}`,
  );
  const main = fork(file, { env: { ...process.env, [restartsVariable]: "0" } });
  await once(main, "message");
  main.disconnect();
  expect(await once(main, "exit")).toEqual([7, null]);
});
