// Rows of background responses while they run. A row names the process that computes it (`owner`), which says every few seconds that it is
// alive (`seen_at`); a row whose process is silent is failed by any other. Only the owner of a row that still runs changes it, so a process
// that was taken for dead, or whose response was cancelled or deleted elsewhere, writes nothing more.
import type { Seal } from "../../governance/index.ts";
import type { Database } from "../../store/index.ts";
import { limits } from "../limits.ts";
import type { Owner } from "./conversations.ts";
import { appendTurn, itemRows, itemsOf } from "./itemRows.ts";
import { opened, sealed } from "./sealed.ts";
import type { Kept } from "./store.ts";

type Json = Record<string, unknown>;

/** An event: its number, and its data as text. */
export interface NumberedEvent {
  number: number;
  text: string;
}

/** How a response stands, and its events after some number. */
interface Progress {
  status: string;
  isBackground: boolean;
  events: readonly NumberedEvent[];
}

export class BackgroundRows {
  readonly #db: Database;
  readonly #seal: Seal;
  readonly #process: string;

  constructor({ db, seal, process }: { db: Database; seal: Seal; process: string }) {
    this.#db = db;
    this.#seal = seal;
    this.#process = process;
  }

  /** Adds a response that begins, with its input. Throws where the database does not answer. */
  async begin({ organisation, project, key }: Owner, kept: Omit<Kept, "output">): Promise<void> {
    const { id, call, model, status, previous, conversation, head, input, keptDays } = kept;
    const items = itemRows(this.#seal, project, id, itemsOf("i", input));
    await this.#db.query(
      `with made as (
         insert into responses
           (project, id, organisation, key, previous, conversation, call, model, status, head, items, bytes, expires_at,
            background, owner, seen_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now() + make_interval(days => $13), true, $14, now()))
       insert into response_items (project, response, side, ordinal, id, item)
       select $1, $2, side::"char", ordinal, id, item
         from unnest($15::text[], $16::int[], $17::text[], $18::bytea[]) as item (side, ordinal, id, item)`,
      [
        project,
        id,
        organisation,
        key,
        previous ?? null,
        conversation ?? null,
        call,
        model,
        status,
        sealed(this.#seal, JSON.stringify(head), [project, id]),
        items.sides.length,
        items.bytes,
        keptDays,
        this.#process,
        items.sides,
        items.ordinals,
        items.ids,
        items.items,
      ],
    );
  }

  /**
   * Adds events, whose numbers rise; those of a write whose end is not known may come again, with later ones behind them. False where the
   * response does not run here any more.
   */
  async add(project: string, id: string, events: readonly NumberedEvent[]): Promise<boolean> {
    const [first] = events;
    const item = sealed(this.#seal, JSON.stringify({ events }), [project, id, "e", first!.number]);
    const { rowCount } = await this.#db.query(
      `with ours as (
         update responses set event_bytes = event_bytes + $5
          where project = $1 and id = $2 and owner = $6 and status = 'in_progress' returning id)
       insert into response_items (project, response, side, ordinal, item) select $1, id, 'e', $3, $4 from ours
       on conflict (project, response, side, ordinal) do update set item = excluded.item`,
      [project, id, first!.number, item, item.length, this.#process],
    );
    return rowCount === 1;
  }

  /** Writes how a response has ended. False where it does not run here any more. */
  async finish(project: string, kept: Pick<Kept, "id" | "status" | "head" | "conversation" | "input" | "output">) {
    const { id, status, head, conversation, input, output } = kept;
    const items = itemRows(this.#seal, project, id, itemsOf("o", output));
    return this.#db.transaction(async (client) => {
      const { rowCount } = await client.query(
        `with ours as (
           update responses set status = $3, head = $4, items = items + $5, bytes = bytes + $6
            where project = $1 and id = $2 and owner = $7 and status = 'in_progress' returning id),
         added as (
           insert into response_items (project, response, side, ordinal, id, item)
           select $1, ours.id, side::"char", ordinal, item.id, item
             from ours, unnest($8::text[], $9::int[], $10::text[], $11::bytea[]) as item (side, ordinal, id, item))
         select from ours`,
        [
          project,
          id,
          status,
          sealed(this.#seal, JSON.stringify(head), [project, id]),
          output.length,
          items.bytes,
          this.#process,
          items.sides,
          items.ordinals,
          items.ids,
          items.items,
        ],
      );
      if (rowCount !== 1) return false;
      if (conversation !== undefined && (status === "completed" || status === "incomplete"))
        await appendTurn(client, this.#seal, project, conversation, [...input, ...output]);
      return true;
    });
  }

  /** Cancels a response that runs, wherever that is. False where none of that id runs. */
  async cancel(project: string, id: string): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      "update responses set status = 'cancelled' where project = $1 and id = $2 and status in ('queued', 'in_progress')",
      [project, id],
    );
    return rowCount === 1;
  }

  /** Says that this process is alive. Answers what still runs here, as `PROJECT ID`. */
  async beat(): Promise<Set<string>> {
    const { rows } = await this.#db.query<{ project: string; id: string }>(
      "update responses set seen_at = now() where owner = $1 and status in ('queued', 'in_progress') returning project, id",
      [this.#process],
    );
    return new Set(rows.map(({ project, id }) => `${project} ${id}`));
  }

  /** Fails what processes that are silent have left running. */
  async failLost(): Promise<void> {
    await this.#db.query(
      `update responses set status = 'failed'
        where status in ('queued', 'in_progress') and seen_at < now() - make_interval(secs => $1)`,
      [limits.backgroundSilentMs / 1000],
    );
  }

  /** How a response stands, and a piece of its events after a number; undefined where the project has none of that id. */
  async progress(project: string, id: string, after: number): Promise<Progress | undefined> {
    const { rows } = await this.#db.query<{
      status: string;
      background: boolean;
      ordinal: number | null;
      item: Buffer;
    }>(
      `select status, background, ordinal, item from responses r
         left join lateral (
           select ordinal, item from response_items i
            where i.project = r.project and i.response = r.id and side = 'e' and ordinal >= coalesce(
              (select max(ordinal) from response_items b
                where b.project = r.project and b.response = r.id and b.side = 'e' and b.ordinal <= $3), 0)
            order by ordinal limit $4) e on true
        where project = $1 and id = $2 and expires_at > now() order by ordinal`,
      [project, id, after + 1, limits.backgroundEventRows],
    );
    if (!rows[0]) return undefined;
    const { status, background: isBackground } = rows[0];
    const events = rows.flatMap(({ ordinal, item }) =>
      ordinal === null ? [] : this.#events(project, id, ordinal, item),
    );
    return { status, isBackground, events: events.filter(({ number }) => number > after) };
  }

  #events(project: string, id: string, ordinal: number, item: Buffer): NumberedEvent[] {
    return (opened(this.#seal, item, [project, id, "e", ordinal]) as Json & { events: NumberedEvent[] }).events;
  }
}
