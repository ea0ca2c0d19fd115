// The command line's client of the public API, so that a script can do whatever a verb does. Address and key come from LINESHAFT_URL and
// LINESHAFT_KEY, else from the credentials file in the home.
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { Home } from "../fleet/index.ts";
import { CliError } from "./errors.ts";

interface ClientOptions {
  url: string;
  key: string | undefined;
  origin?: AddressOrigin;
}

/** Where the address was read, and what to do when nothing answers there. */
interface AddressOrigin {
  source: string;
  next(): string;
}

/** An error returned by the API, with the API's message. */
export class AnsweredError extends CliError {
  constructor(status: number, code: string, message: string, hint: string | undefined, request: string | undefined) {
    super({
      code,
      message,
      status,
      hint: hint ?? hintFor(status),
      ...(request && { why: `The server answered ${status} (${code}), request ${request}.` }),
    });
  }
}

export class Client {
  readonly url: string;
  readonly #key: string | undefined;
  readonly #origin: AddressOrigin | undefined;
  /** Place of the newest record that this client's calls have made: what it reads next includes it, whichever process answers. */
  #after: string | undefined;
  /** Budget that cut the newest answer short. */
  cutBy: string | undefined;

  constructor(options: ClientOptions) {
    this.url = options.url.replace(/\/+$/, "");
    this.#key = options.key;
    this.#origin = options.origin;
  }

  /** From the environment and the home. Throws a CliError when no address or key is found. */
  static fromEnvironment(env: NodeJS.ProcessEnv): Client {
    const home = Home.fromEnvironment(env);
    const kept = home.credentials();
    const found = addressOf(env, home, kept?.address);
    const key = env["LINESHAFT_KEY"] || kept?.key;
    if (!found)
      throw new CliError({
        code: "not_started",
        message: "No Lineshaft was found.",
        why: `${home.path} has never been started on, and LINESHAFT_URL is not set.`,
        hint: "Start one with `npm start`, or set LINESHAFT_URL and LINESHAFT_KEY to one that runs elsewhere.",
      });
    if (!key)
      throw new CliError({
        code: "no_key",
        message: "No key was found.",
        why: `${home.credentialsPath} is gone, and LINESHAFT_KEY is not set.`,
        hint: "Make a new owner key on the machine that runs it: `npx lineshaft keys create NAME --owner`",
      });
    return new Client({ ...found, key });
  }

  get<Answer>(path: string, query: Record<string, string | number | undefined> = {}): Promise<Answer> {
    const words = Object.entries(query).filter((entry): entry is [string, string | number] => entry[1] !== undefined);
    const search = new URLSearchParams(words.map(([name, value]) => [name, String(value)])).toString();
    return this.#json<Answer>("GET", search ? `${path}?${search}` : path);
  }

  post<Answer>(path: string, body: unknown, idempotencyKey: string = randomUUID()): Promise<Answer> {
    return this.#json<Answer>("POST", path, body, { "idempotency-key": idempotencyKey });
  }

  put<Answer>(path: string, body: unknown): Promise<Answer> {
    return this.#json<Answer>("PUT", path, body);
  }

  delete<Answer>(path: string): Promise<Answer> {
    return this.#json<Answer>("DELETE", path);
  }

  /** Sends a form. A file in it is read while it is sent. */
  async upload<Answer>(path: string, form: FormData): Promise<Answer> {
    return (await (await this.#send("POST", path, form, {})).json()) as Answer;
  }

  /** The bytes of an answer, as they come. */
  async download(path: string): Promise<AsyncIterable<Uint8Array>> {
    return (await this.#send("GET", path, undefined, {})).body ?? Readable.from([]);
  }

  /** Every item of a list, page after page, up to `limit`. */
  async list<Item>(
    path: string,
    query: Record<string, string | number | undefined> = {},
    limit = Infinity,
  ): Promise<Item[]> {
    const items: Item[] = [];
    let cursor: string | undefined;
    do {
      const page: { data: Item[]; next_cursor: string | null } = await this.get(path, {
        ...query,
        limit: Math.min(200, limit - items.length),
        cursor,
      });
      items.push(...page.data);
      cursor = page.next_cursor ?? undefined;
    } while (cursor && items.length < limit);
    return items;
  }

  /** Server-sent events, each `data` parsed; ends with the stream. `[DONE]` of the model API is left out. */
  async *events(
    path: string,
    request: { method?: string; body?: unknown; signal?: AbortSignal; lastEventId?: string } = {},
  ) {
    const response = await this.#send(
      request.method ?? "GET",
      path,
      request.body,
      {
        accept: "text/event-stream",
        ...(request.lastEventId !== undefined && { "last-event-id": request.lastEventId }),
      },
      request.signal,
    );
    if (!response.body) return;
    // What is known only at the end of a stream comes as comments that read like headers.
    const onComment = (comment: string) => {
      const [name = "", value] = comment.trim().split(": ");
      if (value !== undefined) this.#note(name, value);
    };
    const parser = new EventSourceParserStream({ onComment });
    const events = response.body.pipeThrough(new TextDecoderStream()).pipeThrough(parser);
    for await (const event of events)
      if (event.data !== "[DONE]") yield { id: event.id, type: event.event, data: JSON.parse(event.data) as unknown };
  }

  #note(name: string, value: string | null): void {
    if (value === null) return;
    if (name === "x-lineshaft-after") this.#after = value;
    if (name === "x-lineshaft-budget-cut") this.cutBy = value;
  }

  async #json<Answer>(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await this.#send(method, path, body, headers);
    if (response.status === 204) return undefined as Answer;
    return (await response.json()) as Answer;
  }

  async #send(
    method: string,
    path: string,
    body: unknown,
    headers: Record<string, string>,
    signal?: AbortSignal,
  ): Promise<Response> {
    let response: Response;
    try {
      response = await fetch(`${this.url}${path}`, {
        method,
        headers: {
          ...(this.#key && { authorization: `Bearer ${this.#key}` }),
          // Fetch writes the type of a form itself, with the form's boundary.
          ...(body !== undefined && !(body instanceof FormData) && { "content-type": "application/json" }),
          ...(this.#after !== undefined && { "x-lineshaft-after": this.#after }),
          ...headers,
        },
        ...(body !== undefined && { body: body instanceof FormData ? body : JSON.stringify(body) }),
        ...(signal && { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new CliError({
        code: "unreachable",
        message: `Lineshaft does not answer at ${this.url}.`,
        why: `${reasonOf(error)}${this.#origin ? ` The address is from ${this.#origin.source}.` : ""}`,
        hint: this.#origin?.next() ?? "Start it with `npm start`, or set LINESHAFT_URL to where it runs.",
        cause: error,
      });
    }
    if (!response.ok) throw await failureOf(response);
    for (const name of ["x-lineshaft-after", "x-lineshaft-budget-cut"]) this.#note(name, response.headers.get(name));
    return response;
  }
}

/** The address and its source: the environment, else the file that the start on this home wrote. */
function addressOf(
  env: NodeJS.ProcessEnv,
  home: Home,
  kept: string | undefined,
): Pick<ClientOptions, "url" | "origin"> | undefined {
  const given = env["LINESHAFT_URL"];
  if (given) {
    if (!/^https?:\/\//.test(given) || !URL.canParse(given))
      throw new CliError({
        exitCode: 2,
        code: "setting_wrong",
        message: "LINESHAFT_URL is not an address.",
        why: `It is set to ${given}.`,
        hint: "Write it like http://localhost:4070",
      });
    const next = () => "Start Lineshaft there, or correct or unset LINESHAFT_URL.";
    return { url: given, origin: { source: "LINESHAFT_URL", next } };
  }
  const next = () =>
    home.isFree()
      ? `No Lineshaft runs on ${home.path}: start it with \`npm start\`, or set LINESHAFT_URL to where one runs.`
      : `A process runs on ${home.path}, so it is starting or hangs: wait, or look at \`npx lineshaft doctor\`.`;
  const started = home.readMain()?.address;
  if (started) return { url: started, origin: { source: home.file("run", "main.json"), next } };
  return kept === undefined ? undefined : { url: kept, origin: { source: home.credentialsPath, next } };
}

function reasonOf(error: unknown): string {
  const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
  if (cause?.code === "ECONNREFUSED") return "Nothing listens there.";
  if (cause?.message === "bad port") return "Fetch refuses to connect to this port, whatever listens there.";
  return `${cause?.message ?? (error as Error).message}.`.replace(/\.\.$/, ".");
}

async function failureOf(response: Response): Promise<AnsweredError> {
  const text = await response.text();
  let error: { code?: string; message?: string; hint?: string; request_id?: string } = {};
  try {
    error = (JSON.parse(text) as { error?: typeof error }).error ?? {};
  } catch {
    // The answer is not from Lineshaft, perhaps from a proxy. Its text is the message.
  }
  const request = error.request_id ?? response.headers.get("x-request-id") ?? undefined;
  const said = error.message ?? (text.slice(0, 200).trim() || response.statusText);
  // The API's message includes the hint, because SDKs show only the message; here the hint has a line of its own.
  const bare = error.hint && said.endsWith(error.hint) ? said.slice(0, -error.hint.length).trim() : said;
  const message = bare === "" ? said : bare;
  // For a wrong key the API's hint names headers; here the key comes from a variable or a file.
  const isOurs = response.status === 401;
  const hint = isOurs ? undefined : error.hint;
  return new AnsweredError(response.status, error.code ?? `http_${response.status}`, message, hint, request);
}

function hintFor(status: number): string {
  if (status === 401)
    return "Correct or unset LINESHAFT_KEY; unset, the key in LINESHAFT_HOME/credentials is used. Without that file `npx lineshaft keys create NAME` makes a new owner key on the machine that runs it.";
  if (status === 403) return "Use an owner key for this.";
  if (status === 429) return "Wait a moment, then try again.";
  return "`npx lineshaft status` says whether all is well.";
}
