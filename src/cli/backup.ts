// `lineshaft backup` and `lineshaft restore`: an instance into one file, and out of it again. Both work on the home and its database
// directly: the home's secrets never leave it by the API, and a restore happens where nothing runs.
import type { Command } from "commander";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Home } from "../fleet/index.ts";
import type { Backup, Restored } from "../instance/backup/index.ts";
import { verb, type Context } from "./context.ts";
import { CliError } from "./errors.ts";
import { bytes, count, duration, pairs } from "./format.ts";
import { version } from "./version.ts";

const passphraseFlag = "--passphrase-file <file>";
const shortestPassphrase = 8;

export function registerBackup(program: Command, context: Context): void {
  const backup = verb(program, "backup [file]", {
    about: "Save database, secrets and spools into one file, while Lineshaft serves or is stopped",
    examples: ["npx lineshaft backup", "npx lineshaft backup lineshaft.backup --json"],
  })
    .option(
      passphraseFlag,
      "encrypt the file with the first line of this one; without it, keep the backup as secret as the home",
    )
    .action(async (file: string | undefined, options: { passphraseFile?: string; json?: boolean }) => {
      const { makeBackup } = await import("../instance/backup/index.ts");
      const begun = performance.now();
      const line = progressLine(context);
      const made = await makeBackup({
        home: Home.fromEnvironment(context.env),
        env: context.env,
        file: file ?? join(process.cwd(), usualName(context.terminal.now())),
        passphrase: passphraseOf(options.passphraseFile),
        version,
        signal: context.signal,
        onProgress: line.show,
      }).finally(line.done);
      if (options.json) return context.terminal.printJson(backupJson(made));
      for (const row of backupLines(made, performance.now() - begun)) context.terminal.print(row);
      for (const what of made.manifest.left_out) context.terminal.note(`Not in it: ${what}.`);
      if (options.passphraseFile === undefined)
        context.terminal.note("It holds the secrets of the home: keep it where only you can read it.");
      return undefined;
    });

  // Options behind `verify` are its own, not those of `backup`.
  backup.enablePositionalOptions();
  verb(backup, "verify <file>", {
    about: "Read a backup to its end and check every part of it, without changing anything",
    examples: ["npx lineshaft backup verify lineshaft.backup", "npx lineshaft backup verify lineshaft.backup --json"],
  })
    .option(passphraseFlag, "the passphrase that it was made with")
    .action(async (file: string, options: { passphraseFile?: string; json?: boolean }) => {
      const { verifyBackup } = await import("../instance/backup/index.ts");
      const line = progressLine(context);
      const found = await verifyBackup({
        file,
        passphrase: passphraseOf(options.passphraseFile),
        signal: context.signal,
        onProgress: line.show,
      }).finally(line.done);
      if (options.json) return context.terminal.printJson(backupJson(found));
      for (const row of backupLines(found)) context.terminal.print(row);
      return undefined;
    });

  verb(program, "restore <file>", {
    about: "Load a backup into an empty LINESHAFT_HOME (and, with DATABASE_URL, an empty database)",
    examples: [
      "npx lineshaft restore lineshaft.backup",
      "npx lineshaft restore lineshaft.backup --resume --replay --json",
    ],
  })
    .option(passphraseFlag, "the passphrase that it was made with")
    .option("--resume", "unfinished runs go on at the next start; without it they wait for `lineshaft runs resume`")
    .option("--replay", "post the records of spools that were not in the database yet; without it they are put aside")
    .action(async (file: string, options: RestoreWords) => {
      const { restoreBackup } = await import("../instance/backup/index.ts");
      const { terminal, env, signal } = context;
      const begun = performance.now();
      const line = progressLine(context);
      const home = Home.fromEnvironment(env);
      const restored = await restoreBackup({
        home,
        env,
        file,
        passphrase: passphraseOf(options.passphraseFile),
        resume: options.resume ?? false,
        replay: options.replay ?? false,
        signal,
        onProgress: line.show,
      }).finally(line.done);
      // Books that do not add up did so before the backup too: the data is here, and a person must look.
      if (restored.discrepancies !== 0) process.exitCode = 1;
      if (options.json) return terminal.printJson(restoredJson(restored));
      for (const row of restoredLines(restored, home, performance.now() - begun)) terminal.print(row);
      terminal.note(nextSteps(restored, options));
      return undefined;
    });
}

interface RestoreWords {
  passphraseFile?: string;
  resume?: boolean;
  replay?: boolean;
  json?: boolean;
}

/** lineshaft-2026-11-27T20-40-00Z.backup: in the order of their names they are in the order of their times. */
const usualName = (now: number) => `lineshaft-${new Date(now).toISOString().slice(0, 19).replaceAll(":", "-")}Z.backup`;

/** The first line of the file. Throws CliError for a file without one. */
function passphraseOf(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new CliError({
      exitCode: 2,
      message: `${path} cannot be read.`,
      why: (error as Error).message,
      hint: "Name a file whose first line is the passphrase.",
      cause: error,
    });
  }
  const passphrase = text.split(/\r?\n/)[0]!;
  if (passphrase.length >= shortestPassphrase) return passphrase;
  throw new CliError({
    exitCode: 2,
    message: `The passphrase in ${path} is too short.`,
    why: `Its first line has ${passphrase.length} characters, and at least ${shortestPassphrase} are needed.`,
    hint: "Write a longer one, for example: openssl rand -base64 24 > FILE",
  });
}

function progressLine(context: Context) {
  const begun = performance.now();
  const line = context.terminal.progress();
  return {
    show(stream: string, done: number): void {
      const elapsed = performance.now() - begun;
      line.show(`${stream}: ${bytes(done)}, ${bytes(Math.round((done / elapsed) * 1000))}/s (${duration(elapsed)})`);
    },
    done: () => line.done(),
  };
}

function backupJson({ file, bytes: size, manifest }: Backup) {
  return {
    file,
    bytes: size,
    created_at: manifest.created_at,
    lineshaft: manifest.lineshaft,
    migration: manifest.migrations.length,
    rows: Object.fromEntries(manifest.tables.map(({ name, rows }) => [name, rows])),
    spools: spoolsOf(manifest),
    left_out: manifest.left_out,
  };
}

const spoolsOf = ({ streams }: Backup["manifest"]) => streams.filter(({ name }) => name.startsWith("spools/")).length;

const rowsOf = ({ manifest }: Pick<Backup, "manifest">) => manifest.tables.reduce((sum, { rows }) => sum + rows, 0);

function backupLines(made: Backup, tookMs?: number): string[] {
  const { manifest } = made;
  return pairs([
    ["file", made.file],
    ["size", bytes(made.bytes)],
    ["made", `${manifest.created_at} by Lineshaft ${manifest.lineshaft}, migration ${manifest.migrations.length}`],
    ["rows", `${count(rowsOf(made))} in ${manifest.tables.length} tables`],
    ["spools", `${count(spoolsOf(manifest))} files`],
    ["checked", "read to its end, every checksum right"],
    ...(tookMs === undefined ? [] : [["took", duration(tookMs)] as [string, string]]),
  ]);
}

function restoredJson({ manifest, discrepancies, pausedRuns, spools, lostLeases }: Restored) {
  return {
    backup: manifest.created_at,
    rows: rowsOf({ manifest }),
    paused_runs: pausedRuns,
    spools,
    leases_in_suspense: lostLeases,
    // `lineshaft prove --last` shows them on the restored instance.
    discrepancies,
  };
}

function restoredLines(restored: Restored, home: Home, tookMs: number): string[] {
  const { manifest, pausedRuns, spools, lostLeases } = restored;
  return pairs([
    ["home", home.path],
    ["backup", `${manifest.created_at} by Lineshaft ${manifest.lineshaft}`],
    ["rows", `${count(rowsOf(restored))} in ${manifest.tables.length} tables, as many as were saved`],
    ["runs", `${count(pausedRuns)} paused`],
    ["spools", `${count(spools)} files`],
    ["leases", `${count(lostLeases)} in suspense: what processes of before had out counts as spent`],
    ["books", booksLine(restored)],
    ["took", duration(tookMs)],
  ]);
}

function booksLine({ discrepancies, firstDifference, unproven }: Restored): string {
  if (discrepancies === undefined) return `not proven (${unproven}): run npx lineshaft prove when it has started`;
  if (discrepancies === 0) return "proven: every sum is right";
  return `${count(discrepancies)} figures do not agree, the first: ${firstDifference}`;
}

function nextSteps({ pausedRuns, spools }: Restored, { resume, replay }: RestoreWords): string {
  const steps = ["Start it: npm start."];
  if (!resume && pausedRuns > 0) steps.push("Paused runs go on with: npx lineshaft runs resume --all.");
  if (!replay && spools > 0) steps.push("Spools were put aside in spools.restored, and are not replayed.");
  return steps.join(" ");
}
