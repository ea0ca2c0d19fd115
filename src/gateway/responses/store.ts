// Stored responses and conversations: rows of Postgres, so that the next turn finds them at any process and after a restart. A response
// keeps the input items of its own turn and its output; what it goes on from is followed by `previous`, and nothing is copied forward.
// The project stands first in every key: what belongs to another project is answered as what does not exist.
import type { Seal } from "../../governance/index.ts";
import type { Database } from "../../store/index.ts";
import { limits } from "../limits.ts";
import { addToConversation, type Owner } from "./conversations.ts";
import { opened, sealed } from "./sealed.ts";

type Json = Record<string, unknown>;

/** A response that has ended, as it is kept. */
export interface Kept {
  id: string;
  call: string;
  model: string;
  status: string;
  previous: string | undefined;
  conversation: string | undefined;
  /** The response object without its output. */
  head: Json;
  input: readonly Json[];
  output: readonly Json[];
}

type Side = "i" | "o";

interface ItemRow {
  [column: string]: unknown;
  response: string;
  side: Side;
  ordinal: number;
  item: Buffer;
}

/** Why a chain of responses cannot be read. */
type ChainProblem = "missing" | "too_long";

export class ResponseStore {
  readonly #db: Database;
  readonly #seal: Seal;

  constructor({ db, seal }: { db: Database; seal: Seal }) {
    this.#db = db;
    this.#seal = seal;
  }

  /**
   * Keeps a response with its items in one statement, and the items of its conversation with it. False where it is more than may be
   * kept. Throws where the database does not answer.
   */
  async keep({ organisation, project, key }: Owner, kept: Kept): Promise<boolean> {
    const { id, call, model, status, previous, conversation, head, input, output } = kept;
    // Their bytes before they are compressed, because that is what a chain of them takes in memory.
    let bytes = 0;
    const rows = [...itemsOf("i", input), ...itemsOf("o", output)].map(({ side, ordinal, item }) => {
      const text = JSON.stringify(item);
      bytes += text.length;
      return {
        side,
        ordinal,
        id: typeof item["id"] === "string" ? item["id"] : null,
        text,
      };
    });
    if (bytes > limits.chainBytes) return false;
    await this.#db.transaction(async (client) => {
      await client.query(
        `with made as (
           insert into responses
             (project, id, organisation, key, previous, conversation, call, model, status, head, items, bytes, expires_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now() + make_interval(secs => $13)))
         insert into response_items (project, response, side, ordinal, id, item)
         select $1, $2, side::"char", ordinal, id, item
           from unnest($14::text[], $15::int[], $16::text[], $17::bytea[]) as item (side, ordinal, id, item)`,
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
          rows.length,
          bytes,
          limits.responseKeptMs / 1000,
          rows.map(({ side }) => side),
          rows.map(({ ordinal }) => ordinal),
          rows.map(({ id: item }) => item),
          rows.map(({ side, ordinal, text }) => sealed(this.#seal, text, [project, id, side, ordinal])),
        ],
      );
      if (conversation === undefined) return;
      await addToConversation(client, this.#seal, project, conversation, [...input, ...output]);
    });
    return true;
  }

  /** Items of a response and of all that it goes on from, the oldest first; or why they cannot be read. */
  async chain(project: string, id: string): Promise<{ items: Json[]; bytes: number } | ChainProblem> {
    const { rows } = await this.#db.query<{ id: string; previous: string | null; bytes: bigint }>(
      `with recursive chain as (
         select id, previous, bytes, 1 as depth from responses
          where project = $1 and id = $2 and expires_at > now() and status in ('completed', 'incomplete')
         union all
         select earlier.id, earlier.previous, earlier.bytes, depth + 1
           from chain join responses earlier on earlier.project = $1 and earlier.id = chain.previous
          where depth <= $3 and earlier.expires_at > now())
       select id, previous, bytes from chain order by depth`,
      [project, id, limits.chainResponses],
    );
    if (rows.length === 0) return "missing";
    const bytes = rows.reduce((sum, row) => sum + Number(row.bytes), 0);
    if (rows.length > limits.chainResponses || bytes > limits.chainBytes) return "too_long";
    // An earlier response that was deleted takes the conversation with it.
    if (rows.at(-1)!.previous !== null) return "missing";
    const ids = rows.map((row) => row.id).toReversed();
    const items = await this.#items(project, ids);
    return { items: ids.flatMap((one) => [...(items.get(`${one}i`) ?? []), ...(items.get(`${one}o`) ?? [])]), bytes };
  }

  /** A response as it is answered; undefined where the project has none of that id. */
  async get(project: string, id: string): Promise<Json | undefined> {
    const { rows } = await this.#db.query<{ head: Buffer }>(
      "select head from responses where project = $1 and id = $2 and expires_at > now()",
      [project, id],
    );
    if (!rows[0]) return undefined;
    const items = await this.#items(project, [id]);
    return { ...opened(this.#seal, rows[0].head, [project, id]), output: items.get(`${id}o`) ?? [] };
  }

  /** The input items of a response's own turn; undefined where the project has none of that id. */
  async input(project: string, id: string): Promise<Json[] | undefined> {
    const { rowCount } = await this.#db.query(
      "select from responses where project = $1 and id = $2 and expires_at > now()",
      [project, id],
    );
    if (rowCount === 0) return undefined;
    return (await this.#items(project, [id])).get(`${id}i`) ?? [];
  }

  /** One item of a stored response; undefined where the project has none. */
  async item(project: string, response: string, id: string): Promise<Json | undefined> {
    const { rows } = await this.#db.query<ItemRow>(
      `select response, side, ordinal, item from response_items join responses on responses.project = response_items.project and responses.id = response
        where response_items.project = $1 and response = $2 and response_items.id = $3 and expires_at > now()`,
      [project, response, id],
    );
    return rows[0] && this.#opened(project, rows[0]);
  }

  /** False where the project has none of that id. */
  async remove(project: string, id: string): Promise<boolean> {
    const { rowCount } = await this.#db.query("delete from responses where project = $1 and id = $2", [project, id]);
    return rowCount === 1;
  }

  /** Removes what is kept no longer, in pieces, so that no statement holds many rows. */
  async sweep(): Promise<void> {
    for (;;) {
      const { rowCount } = await this.#db.query(
        `delete from responses where (project, id) in
           (select project, id from responses where expires_at < now() limit $1 for update skip locked)`,
        [limits.responsesSwept],
      );
      if ((rowCount ?? 0) < limits.responsesSwept) return;
    }
  }

  async #items(project: string, responses: readonly string[]): Promise<Map<string, Json[]>> {
    const { rows } = await this.#db.query<ItemRow>(
      `select response, side, ordinal, item from response_items
        where project = $1 and response = any($2) order by response, side, ordinal`,
      [project, responses],
    );
    const items = new Map<string, Json[]>();
    for (const row of rows) {
      const of = `${row.response}${row.side}`;
      const list = items.get(of) ?? [];
      list.push(this.#opened(project, row));
      items.set(of, list);
    }
    return items;
  }

  #opened(project: string, { response, side, ordinal, item }: ItemRow): Json {
    return opened(this.#seal, item, [project, response, side, ordinal]);
  }
}

const itemsOf = (side: Side, items: readonly Json[]): { side: Side; ordinal: number; item: Json }[] =>
  items.map((item, ordinal) => ({ side, ordinal, item }));
