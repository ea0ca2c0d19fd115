// Conversations: lists of items that responses read and add to. One response at a time writes to a conversation; its lock ends with it, or
// after a while where its process has died.
import type { Seal } from "../../governance/index.ts";
import type { Database, Queryable } from "../../store/index.ts";
import { limits } from "../limits.ts";
import type { Page, PageAsked } from "./pages.ts";
import { inTurns, opened, sealed } from "./sealed.ts";

/** Whose a response or a conversation is. */
export interface Owner {
  organisation: string;
  project: string;
  key: string;
}

type Json = Record<string, unknown>;

export interface Conversation {
  id: string;
  metadata: Json;
  createdAt: Date;
}

interface ConversationRow {
  [column: string]: unknown;
  id: string;
  metadata: Json;
  created_at: Date;
}

const conversationOf = ({ id, metadata, created_at: createdAt }: ConversationRow): Conversation => ({
  id,
  metadata,
  createdAt,
});

export class Conversations {
  readonly #db: Database;
  readonly #seal: Seal;

  constructor({ db, seal }: { db: Database; seal: Seal }) {
    this.#db = db;
    this.#seal = seal;
  }

  async create({ organisation, project }: Owner, id: string, metadata: Json): Promise<Conversation> {
    const { rows } = await this.#db.query<ConversationRow>(
      `insert into conversations (project, id, organisation, metadata) values ($1, $2, $3, $4)
       returning id, metadata, created_at`,
      [project, id, organisation, metadata],
    );
    return conversationOf(rows[0]!);
  }

  async get(project: string, id: string): Promise<Conversation | undefined> {
    const { rows } = await this.#db.query<ConversationRow>(
      "select id, metadata, created_at from conversations where project = $1 and id = $2",
      [project, id],
    );
    return rows[0] && conversationOf(rows[0]);
  }

  async label(project: string, id: string, metadata: Json): Promise<Conversation | undefined> {
    const { rows } = await this.#db.query<ConversationRow>(
      "update conversations set metadata = $3 where project = $1 and id = $2 returning id, metadata, created_at",
      [project, id, metadata],
    );
    return rows[0] && conversationOf(rows[0]);
  }

  /** False where the project has none of that id. Its responses stay. */
  async remove(project: string, id: string): Promise<boolean> {
    const { rowCount } = await this.#db.query("delete from conversations where project = $1 and id = $2", [
      project,
      id,
    ]);
    return rowCount === 1;
  }

  /** Adds items at the end; each has an id. False, and none is added, where the conversation would hold more than it may. */
  async add(project: string, id: string, items: readonly Json[]): Promise<boolean> {
    return addToConversation(this.#db, this.#seal, project, id, items);
  }

  /** Items in their order. `count` is told their bytes before they are read, and may throw. */
  async items(project: string, id: string, count: CountBytes): Promise<Json[]> {
    count((await sizeOf(this.#db, project, id)).bytes);
    const { rows } = await this.#db.query<{ id: string; item: Buffer }>(
      "select id, item from conversation_items where project = $1 and conversation = $2 order by ordinal",
      [project, id],
    );
    return inTurns(rows, (row) => opened(this.#seal, row.item, [project, id, row.id]));
  }

  /** A page of items; `not_in_list` where there is no item of the id that the page is to follow. */
  async page(
    project: string,
    id: string,
    { limit, newestFirst, after }: PageAsked,
    count: CountBytes,
  ): Promise<Page | "not_in_list"> {
    const start = after === undefined ? undefined : await this.#placeOf(project, id, after);
    if (start === undefined && after !== undefined) return "not_in_list";
    const { rows: chosen } = await this.#db.query<{ ordinal: bigint; bytes: bigint }>(
      `select ordinal, bytes from conversation_items
        where project = $1 and conversation = $2 and ($3::bigint is null or ordinal ${newestFirst ? "<" : ">"} $3)
        order by ordinal ${newestFirst ? "desc" : "asc"} limit $4`,
      [project, id, start ?? null, limit + 1],
    );
    const shown = chosen.slice(0, limit);
    count(shown.reduce((sum, { bytes }) => sum + Number(bytes), 0));
    const { rows } = await this.#db.query<{ id: string; item: Buffer }>(
      `select id, item from conversation_items where project = $1 and conversation = $2 and ordinal = any($3)
        order by ordinal ${newestFirst ? "desc" : "asc"}`,
      [project, id, shown.map(({ ordinal }) => ordinal)],
    );
    const items = await inTurns(rows, (row) => opened(this.#seal, row.item, [project, id, row.id]));
    return { items, more: chosen.length > limit };
  }

  /** Undefined where the conversation has no such item. */
  async item(project: string, id: string, item: string, count: CountBytes): Promise<Json | undefined> {
    const { rows } = await this.#db.query<{ item: Buffer; bytes: bigint }>(
      "select item, bytes from conversation_items where project = $1 and conversation = $2 and id = $3 order by ordinal limit 1",
      [project, id, item],
    );
    if (!rows[0]) return undefined;
    count(Number(rows[0].bytes));
    return opened(this.#seal, rows[0].item, [project, id, item]);
  }

  /** False where the conversation has no such item. */
  async removeItem(project: string, id: string, item: string): Promise<boolean> {
    const { rowCount } = await this.#db.query(
      "delete from conversation_items where project = $1 and conversation = $2 and id = $3",
      [project, id, item],
    );
    return (rowCount ?? 0) > 0;
  }

  /** Removes all conversations of a project, in pieces. Answers how many that were. */
  async erase(project: string): Promise<number> {
    for (let erased = 0; ;) {
      const { rowCount } = await this.#db.query(
        "delete from conversations where project = $1 and id in (select id from conversations where project = $1 limit $2)",
        [project, limits.conversationsErased],
      );
      erased += rowCount ?? 0;
      if ((rowCount ?? 0) < limits.conversationsErased) return erased;
    }
  }

  /** Takes the conversation for one response. `held`: another has it; `missing`: the project has none of that id. */
  async lock(project: string, id: string, by: string): Promise<"taken" | "held" | "missing"> {
    const { rowCount } = await this.#db.query(
      `update conversations set locked_by = $3, locked_until = now() + make_interval(secs => $4)
        where project = $1 and id = $2 and (locked_by is null or locked_until < now())`,
      [project, id, by, limits.conversationLockMs / 1000],
    );
    if (rowCount === 1) return "taken";
    return (await this.get(project, id)) ? "held" : "missing";
  }

  async unlock(project: string, id: string, by: string): Promise<void> {
    await this.#db.query(
      "update conversations set locked_by = null, locked_until = null where project = $1 and id = $2 and locked_by = $3",
      [project, id, by],
    );
  }

  async #placeOf(project: string, id: string, item: string): Promise<bigint | undefined> {
    const { rows } = await this.#db.query<{ ordinal: bigint }>(
      "select ordinal from conversation_items where project = $1 and conversation = $2 and id = $3 order by ordinal limit 1",
      [project, id, item],
    );
    return rows[0]?.ordinal;
  }
}

/** Is told how many bytes are about to be read, and throws where they are too many. */
export type CountBytes = (bytes: number) => void;

async function sizeOf(db: Queryable, project: string, id: string): Promise<{ items: number; bytes: number }> {
  const { rows } = await db.query<{ items: bigint; bytes: bigint }>(
    `select count(*) as items, coalesce(sum(bytes), 0)::bigint as bytes from conversation_items
      where project = $1 and conversation = $2`,
    [project, id],
  );
  return { items: Number(rows[0]!.items), bytes: Number(rows[0]!.bytes) };
}

/** Adds items at the end of a conversation. False, and none is added, where it would hold more than it may. */
export async function addToConversation(
  db: Queryable,
  seal: Seal,
  project: string,
  id: string,
  items: readonly Json[],
): Promise<boolean> {
  const texts = items.map((item) => JSON.stringify(item));
  const size = await sizeOf(db, project, id);
  const bytes = texts.reduce((sum, text) => sum + text.length, size.bytes);
  if (size.items + items.length > limits.conversationItems || bytes > limits.chainBytes) return false;
  const ids = items.map((item) => item["id"]);
  await db.query(
    `insert into conversation_items (project, conversation, id, item, bytes)
     select $1, $2, id, item, bytes from unnest($3::text[], $4::bytea[], $5::bigint[]) with ordinality as added (id, item, bytes, place)
      order by place`,
    [
      project,
      id,
      ids,
      texts.map((text, place) => sealed(seal, text, [project, id, ids[place]])),
      texts.map(({ length }) => length),
    ],
  );
  return true;
}
