// Stored responses and conversations: rows of Postgres, so that the next turn finds them at any process and after a restart. A response
// keeps the input items of its own turn and its output; what it goes on from is followed by `previous`, and nothing is copied forward.
// The project stands first in every key: what belongs to another project is answered as what does not exist.
import type { Seal } from "../../governance/index.ts";
import type { Database } from "../../store/index.ts";
import { limits } from "../limits.ts";
import type { CountBytes, Owner } from "./conversations.ts";
import { appendTurn, itemRows, itemsOf, type Side } from "./itemRows.ts";
import type { Page, PageAsked } from "./pages.ts";
import { inTurns, opened, sealed } from "./sealed.ts";

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
  /** For how many days it is kept. */
  keptDays: number;
}

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
   * Keeps a response with its items, and the items of its conversation with it. False where it is more than may be kept. Throws where the
   * database does not answer, and where the conversation is full.
   */
  async keep(owner: Owner, kept: Kept): Promise<boolean> {
    const { organisation, project, key } = owner;
    const { id, call, model, status, previous, conversation, head, input, output, keptDays } = kept;
    const items = itemRows(this.#seal, project, id, [...itemsOf("i", input), ...itemsOf("o", output)]);
    if (items.bytes > limits.chainBytes) return false;
    await this.#db.transaction(async (client) => {
      await client.query(
        `with made as (
           insert into responses
             (project, id, organisation, key, previous, conversation, call, model, status, head, items, bytes, expires_at)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now() + make_interval(days => $13)))
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
          items.sides.length,
          items.bytes,
          keptDays,
          items.sides,
          items.ordinals,
          items.ids,
          items.items,
        ],
      );
      if (conversation !== undefined)
        await appendTurn(client, this.#seal, project, conversation, [...input, ...output]);
    });
    return true;
  }

  /**
   * Items of a response and of all that it goes on from, the oldest first; or why they cannot be read. `count` is told their bytes before
   * they are read, and may throw.
   */
  async chain(project: string, id: string, count: CountBytes): Promise<Json[] | ChainProblem> {
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
    count(bytes);
    const ids = rows.map((row) => row.id).toReversed();
    const items = await this.#items(project, ids);
    return ids.flatMap((one) => [...(items.get(`${one}i`) ?? []), ...(items.get(`${one}o`) ?? [])]);
  }

  /** A response as it is answered; undefined where the project has none of that id. */
  async get(project: string, id: string, count: CountBytes): Promise<Json | undefined> {
    const { rows } = await this.#db.query<{ head: Buffer; bytes: bigint; status: string }>(
      "select head, bytes, status from responses where project = $1 and id = $2 and expires_at > now()",
      [project, id],
    );
    if (!rows[0]) return undefined;
    count(Number(rows[0].bytes));
    const items = await this.#items(project, [id]);
    const head = standing(opened(this.#seal, rows[0].head, [project, id]), rows[0].status);
    return { ...head, output: items.get(`${id}o`) ?? [] };
  }

  /**
   * A page of the input items of a response's own turn; undefined where the project has no such response, `not_in_list` where it has no
   * item of the id that the page is to follow.
   */
  async input(
    project: string,
    id: string,
    { limit, newestFirst, after }: PageAsked,
    count: CountBytes,
  ): Promise<Page | "not_in_list" | undefined> {
    const { rows: known } = await this.#db.query<{ bytes: bigint; start: number | null }>(
      `select bytes, (select ordinal from response_items i
                       where i.project = $1 and i.response = $2 and i.side = 'i' and i.id = $3 limit 1) as start
         from responses where project = $1 and id = $2 and expires_at > now()`,
      [project, id, after ?? null],
    );
    if (!known[0]) return undefined;
    const { bytes, start } = known[0];
    if (after !== undefined && start === null) return "not_in_list";
    count(Number(bytes));
    const { rows } = await this.#db.query<ItemRow>(
      `select response, side, ordinal, item from response_items
        where project = $1 and response = $2 and side = 'i' and ($3::int is null or ordinal ${newestFirst ? "<" : ">"} $3)
        order by ordinal ${newestFirst ? "desc" : "asc"} limit $4`,
      [project, id, start, limit + 1],
    );
    const items = await inTurns(rows.slice(0, limit), (row) => this.#opened(project, row));
    return { items, more: rows.length > limit };
  }

  /**
   * Items of stored responses, by their ids; those that the project has. Undefined where the responses hold more than one call may. `count`
   * is told the bytes of these responses before items are read, and may throw.
   */
  async named(
    project: string,
    wanted: readonly { response: string; id: string }[],
    count: CountBytes,
  ): Promise<Map<string, Json> | undefined> {
    const responses = wanted.map(({ response }) => response);
    const { rows: sizes } = await this.#db.query<{ bytes: bigint }>(
      "select coalesce(sum(bytes), 0)::bigint as bytes from responses where project = $1 and id = any($2) and expires_at > now()",
      [project, responses],
    );
    const bytes = Number(sizes[0]!.bytes);
    if (bytes > limits.chainBytes) return undefined;
    count(bytes);
    const { rows } = await this.#db.query<ItemRow & { id: string }>(
      `select i.response, i.side, i.ordinal, i.item, i.id
         from unnest($2::text[], $3::text[]) as wanted (response, id)
         join response_items i on i.project = $1 and i.response = wanted.response and i.id = wanted.id
         join responses r on r.project = i.project and r.id = i.response and r.expires_at > now()`,
      [project, responses, wanted.map(({ id }) => id)],
    );
    const items = await inTurns(rows, (row) => this.#opened(project, row));
    return new Map(rows.map(({ id }, place) => [id, items[place]!]));
  }

  /** False where the project has none of that id. */
  async remove(project: string, id: string): Promise<boolean> {
    const { rowCount } = await this.#db.query("delete from responses where project = $1 and id = $2", [project, id]);
    return rowCount === 1;
  }

  /** Removes all that a project keeps, in pieces. Answers how many responses that were. */
  async erase(project: string): Promise<number> {
    for (let erased = 0; ;) {
      const { rowCount } = await this.#db.query(
        "delete from responses where project = $1 and id in (select id from responses where project = $1 limit $2)",
        [project, limits.responsesSwept],
      );
      erased += rowCount ?? 0;
      if ((rowCount ?? 0) < limits.responsesSwept) return erased;
    }
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
    const read = await inTurns(rows, (row) => this.#opened(project, row));
    const items = new Map<string, Json[]>();
    for (const [place, { response, side }] of rows.entries()) {
      const of = `${response}${side}`;
      const list = items.get(of) ?? [];
      list.push(read[place]!);
      items.set(of, list);
    }
    return items;
  }

  #opened(project: string, { response, side, ordinal, item }: ItemRow): Json {
    return opened(this.#seal, item, [project, response, side, ordinal]);
  }
}

/** A response as its row stands: a process that died, or a cancellation, has left the response itself as it was. */
function standing(head: Json, status: string): Json {
  if (head["status"] === status) return head;
  if (status !== "failed") return { ...head, status };
  return { ...head, status, error: lostProcess };
}

/** What is told of a response whose process has ended. */
const lostProcess = {
  code: "server_error",
  message: "The process that computed this response has ended. Send the request again.",
};
