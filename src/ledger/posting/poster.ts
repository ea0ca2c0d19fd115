// Moves the records of one spool to Postgres: in their order, in batches, exactly once. It reads the files themselves, up to what is synced,
// so that its memory is bounded by one batch however long the database is away, and the files of a dead process are posted the same way.
//
//   reading -- enough, or someone waits, or nothing more --> posting -- posted, or already there --> reading
//   posting -- database away, or another position ---------> reading again from the position that the database has
//   posting -- row refused --> halves of the batch, down to one record, which is put aside in quarantine
//   any     -- spool forked, damaged or unknown -----------> stopped, for a person
//
// A batch without settlements and calls moves the position only, so it waits for a later record, for a reader, or for the pulse that says
// through which moment the spool is complete.
import { rmSync } from "node:fs";
import { isStoreAway, SpoolReader, StoreUnavailableError } from "../../store/index.ts";
import type { Database, SpoolPlace, TrailFile } from "../../store/index.ts";
import { posting as limits } from "../limits.ts";
import type { RecordRows } from "../types.ts";
import { isHeavy, NotPosted, postingOf, Posts, type Posting } from "./batch.ts";
import { Completeness } from "./completeness.ts";
import { isFinal, isRefused, refusalOf, Stopped, type PostingAlarm } from "./failures.ts";
import { mayRemove } from "./keep.ts";
import { OpenCalls } from "./openCalls.ts";
import { Pause } from "./pause.ts";
import { Places } from "./places.ts";
import { placeBeyond, Readers } from "./readers.ts";
import { decodePosted } from "./decode.ts";
import { RecordError } from "./records.ts";

/** A spool that is written, or was: the part of SpoolWriter that is posted. */
export interface PostedSpool {
  readonly epoch: string;
  readonly trail: readonly TrailFile[];
  position(): SpoolPlace;
  synced(place: SpoolPlace): Promise<void>;
  onSynced(listener: () => void): () => void;
}

interface PosterOptions {
  db: Database;
  spool: PostedSpool;
  rows: RecordRows;
  /** Every attempt that counts before this moment is settled in what is written by now. Undefined where that is not known. */
  openSinceMs?: () => number;
  onAlarm?: (alarm: PostingAlarm) => void;
  /** Nothing more of the spool is posted, for ever. */
  onStopped?: () => void;
}

export class Poster {
  readonly #options: PosterOptions;
  /** Place in the trail of the file that is being posted. */
  #index = 0;
  #reader: SpoolReader | undefined;
  #posts: Posts;
  /** Records that were read and are not posted, and the chain before them. */
  #batch: Posting[] = [];
  #bytes = 0;
  #chain = 0;
  readonly #places: Places;
  readonly #open = new OpenCalls();
  /** The oldest file that was not removed. */
  #kept = 0;
  readonly #readers = new Readers();
  readonly #complete = new Completeness();
  #turn: Promise<unknown> = Promise.resolve();
  readonly #pause = new Pause();
  #stopped: Error | undefined;
  #closed = false;
  readonly #unlisten: () => void;
  readonly #running: Promise<void>;

  constructor(options: PosterOptions) {
    this.#options = options;
    this.#places = new Places(options.spool);
    this.#posts = this.#postsOf(0);
    this.#unlisten = options.spool.onSynced(() => this.#pause.tell("news"));
    this.#running = this.#run();
  }

  /**
   * Resolves when Postgres has every record up to a place, of this spool or of another process's. Rejects with StoreUnavailableError when
   * the database is away, or has not got them in time, with LineshaftError `invalid_value` for a place beyond the newest record of this
   * spool, and with the signal's reason.
   */
  async posted(place: SpoolPlace, signal?: AbortSignal): Promise<void> {
    if (!this.#places.isOwn(place)) return this.#postedElsewhere(place, signal);
    if (this.#places.isBeyond(place)) throw placeBeyond(place);
    await this.#until(place, () => this.#readers.wait(place, signal));
  }

  /** How many wait for a place, for tests and status. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Resolves when everything that was appended until now is posted, however long the database is away. Rejects when posting has stopped. */
  async drained(): Promise<void> {
    const place = this.#options.spool.position();
    await this.#options.spool.synced(place);
    if (this.#stopped && !this.#places.has(place)) throw this.#stopped;
    await this.#until(place, () => this.#readers.waitPatiently(place));
  }

  /** Runs work while no batch is being posted. */
  exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  /** The number of the last posted record of each file. */
  numbers(): Record<string, number> {
    return this.#places.numbers();
  }

  /** Ends the posting after the batch that is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unlisten();
    this.#pause.tell("end");
    await this.#running;
    this.#readers.rejectAll(new StoreUnavailableError("The ledger was closed.", { sent: false }));
    await this.#reader?.[Symbol.asyncDispose]();
    this.#reader = undefined;
  }

  async #run(): Promise<void> {
    while (!this.#closed && !this.#stopped) {
      try {
        if (await this.exclusively(() => this.#step())) continue;
        await this.#pause.last(limits.pulseMs, "news");
        // What arrives within a moment is one batch, unless a reader waits for it.
        if (this.#readers.isEmpty) await this.#pause.last(limits.lingerMs, "reader");
      } catch (error) {
        await this.#failed(error);
      }
    }
  }

  /** One batch, or one step to the next file. True when there is more to do at once. */
  async #step(): Promise<boolean> {
    const { spool } = this.#options;
    const file = spool.trail[this.#index]!;
    const reader = this.#reader ?? (await this.#begin(file));
    if (this.#options.openSinceMs) this.#complete.note(() => spool.position(), this.#options.openSinceMs);
    const { ended } = file;
    const isWhole = await this.#read(reader, file);
    if (this.#batch.length > 0 && (ended || this.#isDue(isWhole))) {
      await this.#post(file);
      return !isWhole || ended;
    }
    if (ended && isWhole && spool.trail[this.#index + 1]) {
      await this.#next();
      return true;
    }
    await this.#pulse(file, isWhole);
    return !isWhole;
  }

  /** Fills the batch; true when the file has nothing more to read now. */
  async #read(reader: SpoolReader, file: TrailFile): Promise<boolean> {
    while (this.#batch.length < limits.batchRecords && this.#bytes < limits.batchBytes) {
      const records = await reader.read(file.upTo);
      if (records.length === 0) return true;
      for (const { number, payload, chain } of records) {
        this.#bytes += payload.length;
        this.#batch.push(this.#decoded(number, chain, payload));
      }
    }
    return false;
  }

  #decoded(number: number, chain: number, payload: Buffer): Posting {
    try {
      const record = decodePosted(payload);
      this.#open.note(record, this.#index, number);
      return postingOf(number, chain, record);
    } catch (error) {
      if (!(error instanceof RecordError) || error.code === "record_version") throw error;
      const refused = { sqlstate: "LS010", record: { bytes: payload.toString("base64") } };
      return { number, chain, refused };
    }
  }

  #isDue(isWhole: boolean): boolean {
    if (!isWhole || !this.#readers.isEmpty) return true;
    return this.#batch.some(isHeavy);
  }

  async #post(file: TrailFile): Promise<void> {
    const last = this.#batch.at(-1)!.number;
    const complete = this.#complete.at(file, last);
    await this.#postAll(this.#batch, this.#chain, complete);
    this.#chain = this.#batch.at(-1)!.chain;
    this.#batch = [];
    this.#bytes = 0;
    this.#places.posted(file.spool, last);
    if (complete) this.#complete.said();
    this.#readers.answer((place) => this.#places.has(place));
  }

  /** Posts records; where one of them is refused, in halves until it is alone. */
  async #postAll(postings: readonly Posting[], chain: number, complete: Date | undefined): Promise<void> {
    const [first] = postings;
    if (postings.length === 1 && first!.refused) return this.#putAside(first!, chain, first!.refused);
    if (!postings.some(({ refused }) => refused)) {
      try {
        return await this.#posts.post(postings, chain, complete);
      } catch (error) {
        if (error instanceof NotPosted && error.outcome === "already") return;
        if (!isRefused(error)) throw error;
        if (postings.length === 1) return this.#putAside(first!, chain, refusalOf(first!, error));
      }
    }
    const half = postings.length >> 1;
    await this.#postAll(postings.slice(0, half), chain, undefined);
    await this.#postAll(postings.slice(half), postings[half - 1]!.chain, complete);
  }

  async #putAside(posting: Posting, chain: number, refused: NonNullable<Posting["refused"]>): Promise<void> {
    const { spool } = this.#options.spool.trail[this.#index]!;
    try {
      await this.#posts.quarantine(posting, chain, refused);
    } catch (error) {
      if (!(error instanceof NotPosted && error.outcome === "already")) throw error;
    }
    this.#options.onAlarm?.({
      code: "record_quarantined",
      message: `The database refused record ${posting.number} of the spool ${spool} (SQLSTATE ${refused.sqlstate}). It is in quarantine, and its amount in suspense. Report this.`,
      subject: refused.sqlstate,
    });
  }

  /** Opens the file at the position that Postgres has. */
  async #begin(file: TrailFile): Promise<SpoolReader> {
    const { db, spool } = this.#options;
    const before = spool.trail[this.#index - 1];
    this.#posts = this.#postsOf(this.#index);
    if (before)
      await db.query("select add_spool($1, $2, $3, $4)", [
        spool.epoch,
        file.spool,
        before.spool,
        this.#places.numberOf(before.spool),
      ]);
    const row = await this.#posts.row();
    if (!row) throw new Stopped("spool_unknown", file, "the database does not know it");
    if (row.state === "ended" && row.position < file.upTo)
      throw new Stopped("spool_forked", file, "the database says that it has ended");
    if (row.state === "damaged") throw new Stopped("spool_forked", file, "the database says that it is damaged");
    const reader = await SpoolReader.open(file.path);
    try {
      while (reader.place.number < row.position) {
        const records = await reader.read(row.position);
        if (records.length === 0)
          throw new Stopped("spool_damaged", file, "records that were posted are missing in it");
        for (const { number, payload, chain } of records) this.#decoded(number, chain, payload);
      }
      if (reader.place.chain !== row.chain) throw new Stopped("spool_forked", file, "other records of it were posted");
    } catch (error) {
      await reader[Symbol.asyncDispose]();
      throw error;
    }
    this.#chain = row.chain;
    this.#places.posted(file.spool, row.position);
    this.#reader = reader;
    return reader;
  }

  async #next(): Promise<void> {
    await this.#rewind();
    this.#index++;
    this.#complete.nextFile();
    await this.#begin(this.#options.spool.trail[this.#index]!);
    this.#readers.answer((place) => this.#places.has(place));
    this.#removePosted();
  }

  /** Forgets what was read and not posted. */
  async #rewind(): Promise<void> {
    this.#batch = [];
    this.#bytes = 0;
    const reader = this.#reader;
    this.#reader = undefined;
    await reader?.[Symbol.asyncDispose]();
  }

  /** Removes files, from the oldest on, that are posted and hold nothing of a call that has not ended. A commit that waited for the disk came after them. */
  #removePosted(): void {
    const { trail } = this.#options.spool;
    while (this.#kept < this.#index && this.#kept < this.#open.oldest()) {
      const { path } = trail[this.#kept]!;
      if (!mayRemove(path)) return;
      rmSync(path, { force: true });
      this.#kept++;
    }
  }

  /** Says through which moment the spool is complete, although nothing is posted. */
  async #pulse(file: TrailFile, isWhole: boolean): Promise<void> {
    const position = this.#places.numberOf(file.spool);
    if (!isWhole || this.#batch.length > 0) {
      // Records that write nothing wait, but not longer than a pulse.
      if (this.#batch.length > 0 && this.#complete.sinceMs >= limits.pulseMs) await this.#post(file);
      return;
    }
    const complete = this.#complete.at(file, position);
    if (!complete || this.#complete.sinceMs < limits.pulseMs) return;
    await this.#posts.complete(position, this.#chain, complete);
    this.#complete.said();
  }

  async #failed(error: unknown): Promise<void> {
    await this.#rewind();
    if (error instanceof Stopped || error instanceof RecordError || isFinal(error)) return this.#stop(error as Error);
    const isAway = isStoreAway(error);
    if (isAway) this.#readers.rejectImpatient(error);
    else if (!(error instanceof NotPosted))
      this.#options.onAlarm?.({
        code: "posting_stuck",
        message: `Records of calls cannot be posted to the database; it is tried again: ${(error as Error).message}`,
        subject: `${(error as { code?: unknown }).code ?? (error as Error).name}`,
      });
    if (!(error instanceof NotPosted)) await this.#pause.last(limits.againMs, "end");
  }

  #stop(error: Error): void {
    this.#stopped = error;
    const { spool } = this.#options.spool.trail[this.#index]!;
    this.#options.onAlarm?.({
      code: error instanceof Stopped ? error.code : error instanceof RecordError ? "spool_version" : "spool_forked",
      message: `Nothing more of the spool ${spool} is posted: ${error.message} Its file is kept.`,
      subject: spool,
    });
    this.#readers.rejectAll(new StoreUnavailableError(error.message, { sent: false, cause: error }), error);
    this.#options.onStopped?.();
  }

  async #until(place: SpoolPlace, wait: () => Promise<void>): Promise<void> {
    if (this.#places.has(place)) return;
    if (this.#stopped || this.#closed)
      throw new StoreUnavailableError("Records are not posted any more.", { sent: false, cause: this.#stopped });
    const waiting = wait();
    this.#pause.tell("reader");
    await waiting;
  }

  #postedElsewhere({ spool, number }: SpoolPlace, signal: AbortSignal | undefined): Promise<void> {
    const posts = new Posts(this.#options.db, spool, this.#options.rows);
    return this.#readers.waitElsewhere(async () => {
      const row = await posts.row();
      if (row && row.position >= number) return true;
      return row?.state === "open" ? false : undefined;
    }, signal);
  }

  #postsOf(index: number): Posts {
    return new Posts(this.#options.db, this.#options.spool.trail[index]!.spool, this.#options.rows);
  }
}
