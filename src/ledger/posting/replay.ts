// Finishes what dead processes left in their spools. For each folder whose process is proven dead, or that a person gives up by a file named
// `replay` in it:
//
//   read all records -- a good record behind a bad one, or records missing --> post the good ones before it with a row for each call of
//                                                                              theirs, book the lease to suspense, keep the file
//   read all records -- whole, or torn (the tail is cut) --> end what was open, by records of our own in a further file
//                                                            --> post everything --> close the epoch --> remove the files
//
// The folder's lock is held meanwhile, so that one process does this. A crash half way is repaired by the next round: the further file is
// part of the spool by then, and attempts settle once. Records of an epoch that was fenced draw on what was booked to suspense.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  claimFolder,
  isStoreAway,
  newSpoolId,
  readFolder,
  seizeFolder,
  spoolFolders,
  SpoolReader,
  SpoolWriter,
  type Database,
  type LeftFolder,
  type TrailFile,
} from "../../store/index.ts";
import { posting as limits } from "../limits.ts";
import type { RecordRows } from "../types.ts";
import { fenceEpoch } from "../leases/leases.ts";
import { Unended } from "./crash.ts";
import { mayRemove } from "./keep.ts";
import type { PostingAlarm } from "./failures.ts";
import { Poster, type PostedSpool } from "./poster.ts";
import { decodeRecord } from "./decode.ts";
import { RecordError } from "./records.ts";

interface ReplayOptions {
  db: Database;
  /** The replaying process's identity as an advisory lock (`Session.processId`). */
  process: number;
  /** The folder of all spools. */
  root: string;
  rows: RecordRows;
  onAlarm?: (alarm: PostingAlarm) => void;
}

/** A person's word that the process of a folder is dead: an empty file of this name in it. */
const wordFile = "replay";

type Claimed = Extract<ReturnType<typeof seizeFolder>, { state: "dead" }>["owned"];

export class Replay {
  readonly #options: ReplayOptions;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<number> | undefined;
  #poster: Poster | undefined;
  readonly #told = new Set<string>();
  #closed = false;

  constructor(options: ReplayOptions) {
    this.#options = options;
  }

  /** Looks for the dead every half minute from now on. */
  start(): void {
    this.#timer = setInterval(() => void this.round().catch(() => {}), limits.replayMs).unref();
  }

  /**
   * One round over all folders; answers how many were finished. Rejects with StoreUnavailableError when the database is away: the next
   * round goes on. Called during a round it answers that one.
   */
  round(): Promise<number> {
    this.#round ??= this.#folders().finally(() => (this.#round = undefined));
    return this.#round;
  }

  /** Ends the rounds; one that is under way is broken off after its batch. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#poster?.close();
    await this.#round?.catch(() => {});
  }

  async #folders(): Promise<number> {
    let finished = 0;
    for (const folder of spoolFolders(this.#options.root)) {
      if (this.#closed) break;
      try {
        if (await this.#folder(folder)) finished++;
      } catch (error) {
        if (isStoreAway(error) || this.#closed) throw error;
        this.#alarm("posting_stuck", folder, `The spool in ${folder} cannot be replayed: ${(error as Error).message}`);
      }
    }
    return finished;
  }

  async #folder(folder: string): Promise<boolean> {
    const left = await readFolder(folder);
    const later = left.unreadable.find(({ error }) => (error as { code?: unknown }).code === "spool_version");
    if (later) {
      this.#alarm("spool_version", folder, later.error.message);
      return false;
    }
    const newest = left.files.at(-1);
    const word = existsSync(join(folder, wordFile));
    const claim = newest && !word ? claimFolder(folder, newest.header.owner) : seizeFolder(folder);
    if (claim.state === "unknown")
      this.#alarm(
        "spool_unknown",
        folder,
        `Whether the process that wrote ${folder} is dead cannot be proven: it is of another machine, or a copy. If it is, make an empty file named replay in that folder.`,
      );
    if (claim.state !== "dead") return false;
    using _lock = claim.owned.lock;
    if (!newest) {
      const [unreadable] = left.unreadable;
      if (!unreadable) rmSync(folder, { recursive: true, force: true });
      else
        this.#alarm(
          "spool_damaged",
          unreadable.path,
          `The spool file ${unreadable.path} cannot be read, and no other file of its folder can. Nothing of it is posted. What its process had leased is booked to suspense by name once the process is taken for dead.`,
        );
      return false;
    }
    // Without the await the lock would be given up at once.
    return await this.#finish(left, claim.owned);
  }

  /** True when the folder's epoch is over. */
  async #finish(left: LeftFolder, owned: Claimed): Promise<boolean> {
    const epoch = Number(left.files[0]!.header.epoch);
    const standings = await this.#positionsOf(epoch);
    const states = new Set([...standings.values()].map(({ state }) => state));
    if (states.size === 0)
      this.#alarm("spool_unknown", left.folder, `The database does not know the epoch ${epoch} of ${left.folder}.`);
    // Damaged ones are kept for a person, and their epochs are over: a spool may be marked as forked before its epoch was fenced.
    if (states.has("damaged")) await fenceEpoch(this.#options.db, epoch);
    if (states.size === 0 || states.has("damaged")) return false;
    if (!states.has("open")) {
      this.#remove(left);
      return false;
    }
    const before = await this.#takeOver(epoch);
    try {
      const found = await this.#scan(left, standings);
      if (found.damaged === undefined) await this.#postAll(left, owned, found);
      else await this.#postBefore(left, found.damaged, found);
      return true;
    } catch (error) {
      // What cannot be replayed must not look alive: its lease is booked to suspense once it is taken for dead.
      if (before !== undefined && !this.#closed) await this.#handOver(epoch, before).catch(() => {});
      throw error;
    }
  }

  /** The epoch lives with this process while it is replayed: no other process takes it for dead and books its lease to suspense. */
  async #takeOver(epoch: number): Promise<bigint | undefined> {
    const { rows } = await this.#options.db.query<{ process: bigint }>("select process from epochs where id = $1", [
      epoch,
    ]);
    const before = rows[0]?.process;
    await this.#handOver(epoch, BigInt(this.#options.process));
    return before;
  }

  async #handOver(epoch: number, process: bigint): Promise<void> {
    const { db } = this.#options;
    await db.query("update epochs set process = $1, seen_at = now() where id = $2 and state = 'live'", [
      process,
      epoch,
    ]);
  }

  /** What Postgres has of an epoch, by the id of each spool; empty where it does not know the epoch. */
  async #positionsOf(epoch: number): Promise<Map<string, Standing>> {
    const { rows } = await this.#options.db.query<{ id: string; position: bigint; state: Standing["state"] }>(
      "select id, position, state from spools where epoch = $1",
      [epoch],
    );
    return new Map(rows.map(({ id, position, state }) => [id, { position: Number(position), state }]));
  }

  /** Reads every record, up to the first damage. */
  async #scan({ files, unreadable }: LeftFolder, standings: ReadonlyMap<string, Standing>): Promise<Scan> {
    const unended = new Unended();
    let last = 0;
    for (const [place, { spool, path, upTo, header }] of files.entries()) {
      const before = files[place - 1];
      if (before && header.index !== before.header.index + 1) return { unended, last, damaged: place - 1 };
      await using reader = await SpoolReader.open(path);
      for (let records = await reader.read(upTo); records.length > 0; records = await reader.read(upTo))
        for (const { payload } of records) note(unended, payload);
      last = reader.place.number;
      const isDamaged = upTo === Infinity ? (await reader.ending()) === "damaged" : last < upTo;
      if (isDamaged || last < (standings.get(spool)?.position ?? 0)) return { unended, last, damaged: place };
    }
    return { unended, last, damaged: unreadable.length > 0 ? files.length - 1 : undefined };
  }

  async #postAll(left: LeftFolder, owned: Claimed, { unended, last }: Scan): Promise<void> {
    const { epoch } = left.files[0]!.header;
    const writer = SpoolWriter.adopt({ left, owned, last, id: newSpoolId(), epoch });
    try {
      let group: Buffer[] = [];
      let bytes = 0;
      for (const records of unended.endings(this.#options.rows)) {
        group.push(...records);
        bytes += records.reduce((sum, { length }) => sum + length, 0);
        if (bytes < limits.endingsBytes) continue;
        await writer.synced(writer.append(group));
        group = [];
        bytes = 0;
      }
      if (group.length > 0) writer.append(group);
      const numbers = await this.#drain(writer);
      await this.#options.db.query("select close_epoch($1, $2)", [epoch, JSON.stringify(numbers)]);
    } finally {
      writer.close();
    }
    this.#remove(await readFolder(left.folder));
  }

  /**
   * Posts what stands before the damage, and books the rest of the lease to suspense. `last`: the last good record. Records of calls that
   * stand behind the damage are lost, so calls with a settled attempt get a row of their own.
   */
  async #postBefore(left: LeftFolder, damaged: number, { unended, last }: Scan): Promise<void> {
    const files = left.files.slice(0, damaged + 1);
    const trail = files.map(({ spool, path, upTo }): TrailFile => ({ spool, path, upTo, ended: true }));
    const file = trail.at(-1)!;
    file.upTo = last;
    const { epoch } = left.files[0]!.header;
    const spool: PostedSpool = {
      epoch,
      trail,
      position: () => ({ spool: file.spool, number: last }),
      synced: async () => {},
      onSynced: () => () => {},
    };
    // A file that ends before what is posted of it stops the poster: then nothing is missing in Postgres.
    await this.#drain(spool).catch((error: unknown) => {
      if (isStoreAway(error) || this.#closed) throw error;
    });
    const { db, rows } = this.#options;
    const calls = [...unended.callsOfSettled(rows)];
    // Not always the last file that can be read: the process may have ended that one, and begun the one that cannot.
    const open = [...(await this.#positionsOf(Number(epoch)))].find(([, { state }]) => state === "open")?.[0];
    await db.transaction(async (client) => {
      if (calls.length > 0) await rows.post(client, { attempts: "[]", calls: `[${calls.join()}]` });
      if (open !== undefined) await client.query("select damage_spool($1)", [open]);
    });
    this.#alarm(
      "spool_damaged",
      file.path,
      `The spool file ${file.path} is damaged. Nothing behind the damage is posted, and what its process had leased is booked to suspense by name. The files in its folder are kept.`,
    );
  }

  async #drain(spool: PostedSpool): Promise<Record<string, number>> {
    // A poster that is made after the end would go on for as long as the database refuses.
    if (this.#closed) throw new Error("The replay was ended.");
    const { db, rows, onAlarm } = this.#options;
    const poster = new Poster({ db, spool, rows, ...(onAlarm && { onAlarm }) });
    this.#poster = poster;
    try {
      await poster.drained();
      return poster.numbers();
    } finally {
      await poster.close();
      this.#poster = undefined;
    }
  }

  /** Removes the files of an epoch that is over, as far as backups allow. */
  #remove(left: LeftFolder): void {
    if (left.unreadable.length > 0 || !left.files.every(({ path }) => mayRemove(path))) return;
    rmSync(left.folder, { recursive: true, force: true });
  }

  /** Once for each subject: a round finds the same again every half minute. */
  #alarm(code: PostingAlarm["code"], subject: string, message: string): void {
    if (this.#told.has(`${code} ${subject}`)) return;
    this.#told.add(`${code} ${subject}`);
    this.#options.onAlarm?.({ code, message, subject });
  }
}

interface Standing {
  position: number;
  state: "open" | "ended" | "damaged";
}

interface Scan {
  unended: Unended;
  /** The number of the last record that was read, in its file. */
  last: number;
  /** The place in the folder of the last file that can be read, whole or in part, where something behind it cannot. */
  damaged: number | undefined;
}

/** A record that cannot be read is put aside when it is posted. One of a later release is not read at all. */
function note(unended: Unended, payload: Buffer): void {
  try {
    unended.note(decodeRecord(payload));
  } catch (error) {
    if (!(error instanceof RecordError) || error.code === "record_version") throw error;
  }
}
