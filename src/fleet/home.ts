// The home: the one folder that holds everything of an instance, the lock that lets one process start on it, and its secrets.
//
//   credentials       address and owner key, for the CLI (0600); may be deleted
//   secrets.json      what keys are hashed with, what secrets are encrypted with, and Postgres's passwords (0600)
//   home.json         which home this is, and where it lies: how a copy is known (identity.ts)
//   models/ postgres/ restate/ kv/
//   run/              lock, main.json (the running process), children.json, Restate's sockets (0700)
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  fsyncSync,
} from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { z } from "zod";
import { LineshaftError } from "../errors/index.ts";
import { forgetOriginal, identityFile, identityHere, markOf, readIdentity } from "./identity.ts";
import { tryLock } from "../store/lock.ts";

const password = z.string().min(16);
const secretsSchema = z.object({
  keyHmac: z.string().length(64),
  /** AES-256 key of the secrets in the database, 64 hex digits. */
  secretsKey: z.string().length(64),
  /** Of the superuser that made the embedded Postgres's data. */
  postgresPassword: password,
  /** Of the role that owns the tables, and of the one that is used at run time. */
  postgresOwnerPassword: password,
  postgresRuntimePassword: password,
});
export type Secrets = z.infer<typeof secretsSchema>;
/** Homes of earlier versions have fewer; what is missing is made at the next start. */
const keptSecretsSchema = secretsSchema.partial().required({ keyHmac: true, postgresPassword: true });

const credentialsSchema = z.object({ address: z.string(), key: z.string() });
export type Credentials = z.infer<typeof credentialsSchema>;

const mainSchema = z.object({
  pid: z.number(),
  /** Null until it serves. */
  address: z.string().nullable(),
  /** Port of the embedded Postgres; null while it starts and when DATABASE_URL points elsewhere. */
  postgresPort: z.number().nullable(),
});
export type MainRecord = z.infer<typeof mainSchema>;

/**
 * The home by its path. Nothing is read or written before a method is called; methods throw LineshaftError `home_unusable`,
 * `home_damaged`, `home_copied` or `already_running`.
 */
export class Home {
  readonly path: string;

  constructor(path: string) {
    this.path = resolve(path);
  }

  /** `LINESHAFT_HOME`, else `.lineshaft` in the user's home. */
  static fromEnvironment(env: NodeJS.ProcessEnv): Home {
    return new Home(env["LINESHAFT_HOME"] || join(homedir(), ".lineshaft"));
  }

  file(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  get modelsFolder(): string {
    return this.file("models");
  }
  get kvFolder(): string {
    return this.file("kv");
  }
  get runFolder(): string {
    return this.file("run");
  }
  get recordsPath(): string {
    return this.file("run", "children.json");
  }
  get credentialsPath(): string {
    return this.file("credentials");
  }

  /** Makes the folders, private to their owner. */
  prepare(): void {
    try {
      for (const folder of [this.path, this.runFolder, this.modelsFolder, this.kvFolder])
        mkdirSync(folder, { recursive: true, mode: 0o700 });
      chmodSync(this.runFolder, 0o700);
    } catch (error) {
      throw this.#unusable(error);
    }
  }

  /**
   * Takes the home for this process or throws LineshaftError `already_running`, which names the process that has it. The kernel frees it
   * when the process ends.
   */
  lock(): Disposable {
    let lock: Disposable | undefined;
    try {
      lock = tryLock(this.file("run", "lock"));
    } catch (error) {
      throw this.#unusable(error);
    }
    if (!lock) throw this.#taken();
    return lock;
  }

  /**
   * Settles which home this is, with the lock held. Throws a LineshaftError for a copy, unless it is adopted; `adopted` is true until
   * `adoptionDone`, also over a start that was killed between.
   */
  settleIdentity(adopt: boolean): { adopted: boolean } {
    const identity = identityHere(this.path, adopt);
    this.#write(identityFile, identity);
    if (identity.adopting) forgetOriginal(this.path);
    return { adopted: identity.adopting };
  }

  /** Nothing of the original is left in this home. */
  adoptionDone(): void {
    const identity = readIdentity(this.path);
    if (identity) this.#write(identityFile, Object.assign(identity, { adopting: false }));
  }

  /** What this home's children carry in their environment. */
  get mark(): string {
    const identity = readIdentity(this.path);
    return identity ? markOf(identity) : this.path;
  }

  /** The same, and what children of a version before homes had an identity carry: the home's path. */
  get marks(): string[] {
    return [this.mark, this.path];
  }

  /** True when no process runs on this home. */
  isFree(): boolean {
    try {
      using lock = tryLock(this.file("run", "lock"));
      return lock !== undefined;
    } catch {
      return true;
    }
  }

  writeMain(record: MainRecord): void {
    this.#write("run/main.json", record);
  }

  readMain(): MainRecord | undefined {
    return this.#read("run/main.json", mainSchema);
  }

  /** The instance's secrets, made on first use; a home of an earlier version gets those that it lacks. */
  secrets(): Secrets {
    const kept = this.#read("secrets.json", keptSecretsSchema);
    const complete = secretsSchema.safeParse(kept);
    if (complete.success) return complete.data;
    const made: Secrets = {
      keyHmac: randomBytes(32).toString("hex"),
      secretsKey: randomBytes(32).toString("hex"),
      postgresPassword: randomBytes(24).toString("base64url"),
      postgresOwnerPassword: randomBytes(24).toString("base64url"),
      postgresRuntimePassword: randomBytes(24).toString("base64url"),
      ...kept,
    };
    this.#write("secrets.json", made);
    return made;
  }

  /** Takes over what keys are hashed with and secrets are sealed with from another home; passwords of the embedded Postgres stay. */
  adoptSecrets(kept: Pick<Secrets, "keyHmac" | "secretsKey">): void {
    this.#write("secrets.json", { ...this.secrets(), ...kept });
  }

  credentials(): Credentials | undefined {
    return this.#read("credentials", credentialsSchema);
  }

  writeCredentials(credentials: Credentials): void {
    this.#write("credentials", credentials);
  }

  /** Undefined when there is no such file; a file that is there and cannot be understood is an error, never overwritten. */
  #read<Schema extends z.ZodType>(name: string, schema: Schema): z.infer<Schema> | undefined {
    let text: string;
    try {
      text = readFileSync(this.file(name), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw this.#unusable(error);
    }
    try {
      return schema.parse(JSON.parse(text));
    } catch (error) {
      throw new LineshaftError({
        code: "home_damaged",
        message: `${this.file(name)} cannot be read.`,
        why: "Its content is not what Lineshaft wrote.",
        hint: "Restore it from a backup, or move it away to have a new one made.",
        cause: error,
      });
    }
  }

  /** Whole or not at all, and on the disk before anything relies on it; readable by its owner only. */
  #write(name: string, value: unknown): void {
    const path = this.file(name);
    const staging = `${path}.new`;
    try {
      rmSync(staging, { force: true });
      const file = openSync(staging, "wx", 0o600);
      writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
      fsyncSync(file);
      closeSync(file);
      renameSync(staging, path);
    } catch (error) {
      throw this.#unusable(error);
    }
  }

  #taken(): LineshaftError {
    const main = this.readMain();
    return new LineshaftError({
      code: "already_running",
      message: "Lineshaft runs already on this home.",
      why: main
        ? `Process ${main.pid}${main.address ? ` serves ${main.address}` : " is starting"} (${this.path}).`
        : this.path,
      hint: "Use it as it is (`npx lineshaft status`), stop it first, or set LINESHAFT_HOME to another folder.",
    });
  }

  #unusable(error: unknown): LineshaftError {
    if (error instanceof LineshaftError) return error;
    const code = (error as NodeJS.ErrnoException).code;
    const full = code === "ENOSPC" || code === "EDQUOT";
    return new LineshaftError({
      code: full ? "disk_full" : "home_unusable",
      message: full ? "The disk is full." : `The folder ${this.path} cannot be used.`,
      why: (error as Error).message,
      hint: full
        ? "Free some space, or set LINESHAFT_HOME to a folder on another disk."
        : "Make it readable and writable for this user, or set LINESHAFT_HOME to another folder.",
      cause: error,
    });
  }
}
