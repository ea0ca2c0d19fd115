// What a call of Responses takes from earlier ones and leaves for later ones. `before` runs between the body's arrival and its decoding,
// and does nothing for a body that refers to nothing (Codex and OpenCode send their whole conversation); `keep` runs when the answer has
// ended, before its last event, so that the next turn finds it wherever it arrives.
import { outlineOf } from "../../bounded/index.ts";
import { LineshaftError } from "../../errors/index.ts";
import type { Seal } from "../../governance/index.ts";
import type { Principal } from "../../governance/types.ts";
import { newId, type Database } from "../../store/index.ts";
import type { Logger } from "../../telemetry/index.ts";
import { limits } from "../limits.ts";
import { kindOf } from "../protocols/responses/items.ts";
import type { Earlier } from "../protocols/responses/call.ts";
import { invalidAt, invalidValue } from "../refusals.ts";
import { BackgroundResponses } from "./background.ts";
import { BackgroundRows } from "./backgroundRows.ts";
import { Conversations, type CountBytes, type Owner } from "./conversations.ts";
import { isFull, ResponseStorage, responsesFull } from "./storage.ts";
import { ResponseStore, type Kept } from "./store.ts";

type Json = Record<string, unknown>;

/** Earlier turns of a call, and what must be given back when the call has ended. */
interface Brought extends Earlier {
  release?: () => Promise<void>;
}

export class ResponsesState {
  readonly store: ResponseStore;
  readonly conversations: Conversations;
  readonly storage: ResponseStorage;
  readonly background: BackgroundResponses;
  readonly #log: Pick<Logger, "warn">;
  #sweeping: NodeJS.Timeout | undefined;

  constructor({ db, seal, log }: { db: Database; seal: Seal; log: Pick<Logger, "warn"> }) {
    this.store = new ResponseStore({ db, seal });
    this.conversations = new Conversations({ db, seal });
    this.storage = new ResponseStorage(db);
    const rows = new BackgroundRows({ db, seal, process: newId("req") });
    this.background = new BackgroundResponses({ rows, log });
    this.#log = log;
  }

  /** Removes what is kept no longer, now and then. Every process may do it: a row that another one removes is passed over. */
  begin(): void {
    this.background.begin();
    this.#sweeping = setInterval(() => {
      this.store.sweep().catch((error: Error) => this.#log.warn({}, `Responses could not be swept: ${error.message}`));
    }, limits.responseSweepMs).unref();
  }

  close(): void {
    this.background.close();
    clearInterval(this.#sweeping);
  }

  /**
   * Whether the answer to this body can be kept. A body that asks for storage by name is refused where there is none: 400 where the project
   * keeps nothing, 507 where it keeps as much as it may. Any other is answered, and says that it is not kept.
   */
  async keeps(json: unknown, { project }: Owner): Promise<boolean> {
    if (!isObject(json) || json["store"] === false) return true;
    const storage = await this.storage.of(project).catch(() => undefined);
    // A database that does not answer is found out when the response is written.
    if (!storage) return true;
    const needs = ["conversation", "background"].find((name) => (json[name] ?? false) !== false);
    if (storage.retentionDays === 0) {
      if (needs === undefined) return false;
      throw invalidValue(needs, `\`${needs}\` needs stored responses, and this project keeps none. Leave it out.`);
    }
    if (!isFull(storage)) return true;
    const asks = needs ?? (typeof json["previous_response_id"] === "string" ? "previous_response_id" : undefined);
    if (asks === undefined && json["store"] !== true) return false;
    throw responsesFull(storage);
  }

  /**
   * What the body refers to. Throws a 400 where it is not there. Undefined where the body refers to nothing. `count` is told the bytes of
   * what is about to be read, and may throw. `writes`: the call adds to the conversation that it names, which it has for itself until
   * `release`.
   */
  async before(json: unknown, owner: Owner, count: CountBytes, writes = true): Promise<Brought | undefined> {
    if (!isObject(json)) return undefined;
    const { previous_response_id: previous, conversation } = json;
    const references = await this.#references(json, owner.project, count);
    const conversationId = idOf(conversation);
    if (typeof previous === "string" && conversationId !== undefined)
      throw invalidValue(
        "conversation",
        "`conversation` and `previous_response_id` exclude each other: send one of them.",
      );
    if (typeof previous === "string" && isId(previous)) {
      return { items: await this.#chain(owner.project, previous, count), references };
    }
    if (conversationId !== undefined && isId(conversationId))
      return writes
        ? this.#locked(owner.project, conversationId, references, count)
        : { items: await this.#read(owner.project, conversationId, count), references };
    return references.size > 0 ? { items: [], references } : undefined;
  }

  /** Removes all that a project keeps. Answers how much that was. */
  async erase(project: string): Promise<{ responses: number; conversations: number }> {
    return { responses: await this.store.erase(project), conversations: await this.conversations.erase(project) };
  }

  /** Writes a response; false where it cannot be kept, which fails no answer. */
  async keep(owner: Owner, kept: Omit<Kept, "keptDays">): Promise<boolean> {
    try {
      const { retentionDays: keptDays } = await this.storage.of(owner.project);
      return await this.store.keep(owner, { ...kept, keptDays });
    } catch (error) {
      this.#log.warn({ call: kept.call }, `A response could not be kept: ${(error as Error).message}`);
      return false;
    }
  }

  async #chain(project: string, id: string, count: CountBytes): Promise<readonly Json[]> {
    const chain = await this.store.chain(project, id, count);
    if (chain === "missing") throw previousNotFound(id);
    if (chain === "too_long")
      throw invalidValue(
        "previous_response_id",
        `\`previous_response_id\` goes on from more than ${limits.chainResponses} responses, or from more than ${limits.chainBytes / 1024 / 1024} MiB. Begin a new conversation, with a summary of this one.`,
      );
    return chain;
  }

  /** Items of a conversation that nothing is added to. */
  async #read(project: string, id: string, count: CountBytes): Promise<readonly Json[]> {
    if (!(await this.conversations.get(project, id))) throw conversationNotFound(id);
    return this.conversations.items(project, id, count);
  }

  async #locked(
    project: string,
    id: string,
    references: ReadonlyMap<string, Json>,
    count: CountBytes,
  ): Promise<Brought> {
    const by = newId("req");
    const locked = await this.conversations.lock(project, id, by);
    if (locked === "missing") throw conversationNotFound(id);
    if (locked === "held")
      throw new LineshaftError({
        code: "conversation_locked",
        message: `Another response writes to the conversation ${id}. Try again when it has ended.`,
        param: "conversation",
        retryAfterSeconds: 1,
      });
    const release = () => this.conversations.unlock(project, id, by).catch(() => {});
    try {
      return { items: await this.conversations.items(project, id, count), references, release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  /** Items that the input names instead of holding them. Ids of output items end as those of their responses do. */
  async #references(body: Json, project: string, count: CountBytes): Promise<Map<string, Json>> {
    const isReference = (item: Json | null): item is Json =>
      item !== null && typeof item === "object" && kindOf(item) === "item_reference";
    // The outline of a long input says whether it names an item, and not which.
    const outline = outlineOf(body, "input");
    if (!Array.isArray(outline) || !(outline as (Json | null)[]).some(isReference)) return new Map();
    const named = (body["input"] as (Json | null)[]).flatMap((item, place) => {
      if (!isReference(item)) return [];
      const id = typeof item["id"] === "string" ? item["id"] : "";
      return [{ place, id, response: `resp_${/^[a-z]+_([0-9a-z]{20})i?\d+$/.exec(id)?.[1] ?? ""}` }];
    });
    if (named.length === 0) return new Map();
    if (named.length > limits.itemReferences)
      throw invalidValue(
        "input",
        `\`input\` names more than ${limits.itemReferences} stored items. Send items themselves.`,
      );
    // An item that is named again and again would make a long prompt of a short body.
    const seen = new Set<string>();
    const twice = named.find(({ id }) => seen.size === seen.add(id).size);
    if (twice)
      throw invalidAt(`input[${twice.place}].id`, `names an item that \`input\` names before. Name each item once.`);
    const found = await this.store.named(project, named, count);
    if (!found)
      throw invalidValue(
        "input",
        `The responses of the items that \`input\` names hold more than ${limits.chainBytes / 1024 / 1024} MiB. Send the items themselves.`,
      );
    const missing = named.find(({ id }) => !found.has(id));
    if (missing)
      throw invalidAt(
        `input[${missing.place}].id`,
        `names the item ${JSON.stringify(missing.id.slice(0, 100))}, which is not stored here. Send the item itself.`,
      );
    return found;
  }
}

/** The owner of what a principal stores. */
export const ownerOf = ({ organisation, project, key }: Principal): Owner => ({ organisation, project, key });

const isObject = (json: unknown): json is Json => json !== null && typeof json === "object" && !Array.isArray(json);

const isId = (id: string): boolean => id.length <= limits.stateIdCharacters;

function idOf(conversation: unknown): string | undefined {
  const id = typeof conversation === "string" ? conversation : (conversation as Json | null | undefined)?.["id"];
  return typeof id === "string" ? id : undefined;
}

/** OpenAI's clients act on the code: they send their whole conversation again. */
const previousNotFound = (id: string): LineshaftError =>
  new LineshaftError({
    code: "previous_response_not_found",
    message: `Previous response with id '${id.slice(0, 100)}' not found. Send the whole conversation as \`input\`.`,
    param: "previous_response_id",
  });

export const conversationNotFound = (id: string): LineshaftError =>
  new LineshaftError({
    code: "conversation_not_found",
    message: `Conversation with id '${id.slice(0, 100)}' not found. Use one that POST /v1/conversations has made.`,
    param: "conversation",
  });

export const responseNotFound = (id: string): LineshaftError =>
  new LineshaftError({
    code: "response_not_found",
    message: `Response with id '${id.slice(0, 100)}' not found. It may be another project's, deleted, or kept no longer. Send the whole conversation again.`,
  });
