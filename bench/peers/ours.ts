// What is of this repository: the engine itself as the floor of all, a bare proxy as the floor of Node, and Lineshaft with everything on.
import { join } from "node:path";
import { startPostgres } from "../postgres.ts";
import { firstLine } from "./run.ts";
import type { Peer } from "./types.ts";

const json = ["content-type", "application/json"];
/** A file of `bench/` in this checkout, or in another one. */
const scriptOf = (file: string, checkout = new URL("../..", import.meta.url).pathname) => join(checkout, "bench", file);
const flags = ["--disable-warning=ExperimentalWarning"];

export const bare: Peer = {
  name: "bare Node",
  how: "parses the body",
  async start({ engineUrls: [engineUrl], run }) {
    const child = run(process.execPath, [...flags, scriptOf("bareProxy.ts"), engineUrl]);
    return { url: (await firstLine(child))["url"]!, pid: child.pid!, headers: json };
  },
};

/** `checkout`: a folder with another version of this repository; this one where absent. */
export const lineshaftOf = (checkout?: string): Peer => ({
  name: checkout === undefined ? "Lineshaft" : "other Lineshaft",
  how: "key, two budgets, hold, settlement, double entry, record, metrics, events",
  routes: true,
  async start({ engineUrls, run }) {
    const postgres = await startPostgres();
    const profile = process.env["BENCH_PROFILE"];
    const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
    const child = run(process.execPath, [
      ...profiling,
      ...flags,
      scriptOf("gatewayServer.ts", checkout),
      engineUrls.join(),
      postgres.url,
    ]);
    child.once("exit", () => void postgres.stop());
    const { url, key } = await firstLine(child);
    return {
      url: url!,
      pid: child.pid!,
      headers: [...json, "authorization", `Bearer ${key}`],
      databasePid: postgres.pid,
    };
  },
});
