// Tools over the Model Context Protocol, by streamable HTTP: both revisions that the client library speaks (2025-11-25 with a
// handshake, 2026-07-28 without), chosen by what the server answers.
//
// One client per server and secret, made when first used and dropped when it fails. A definition is compared with what the agent
// was published with before its tool is called; a server that changed a tool is not called, whatever it promises now.
import {
  Client,
  ProtocolError,
  SdkError,
  StreamableHTTPClientTransport,
  type jsonSchemaValidator,
  type Tool,
} from "@modelcontextprotocol/client";
import { SecretError, type Secrets } from "../../../governance/index.ts";
import { StepError } from "../../errors.ts";
import { limits } from "../../limits.ts";
import { definitionHash } from "../definition.ts";
import { masked } from "../masked.ts";
import { ToolNotSentError, ToolUncertainError } from "../types.ts";
import type { CalledTool, ToolAnswer, ToolCallOptions, ToolDefinition, ToolKind, ToolServerAddress } from "../types.ts";
import { withAllowance } from "./allowance.ts";
import { AnswerDefectError, answerDefect, keptAnswer } from "./answers.ts";
import { egressFetch, ToolConnectionError } from "./fetch.ts";

/** Where the effect's key stands in a call's `_meta`. */
const effectKeyMeta = "lineshaft/effect-key";

/** What a tool client needs of the secrets: their values, for one project and one address at a time. */
export type ToolSecrets = Pick<Secrets, "reveal">;

interface Connection {
  client: Client;
  tools: Map<string, Tool>;
  listedAt: number;
  /** The credentials that it has sent, newest last: what the server says is shown without them. */
  sent: string[];
}

/** Credentials remembered per connection: those of before a rotation may still be repeated by the server. */
const sentKept = 4;

/** The library would compile the output schemas of a server on this thread, however large they are. Evidence is judged by verifiers. */
const unchecked: jsonSchemaValidator = {
  getValidator: () => (input) => ({ valid: true, data: input as never, errorMessage: undefined }),
};

export class McpTools implements ToolKind {
  readonly #secrets: ToolSecrets;
  readonly #connections = new Map<string, Promise<Connection>>();
  readonly #now: () => number;

  constructor(options: { secrets: ToolSecrets; now?: () => number }) {
    this.#secrets = options.secrets;
    this.#now = options.now ?? Date.now;
  }

  async list(server: ToolServerAddress, project: string): Promise<ToolDefinition[]> {
    const connection = await this.#fresh(server, project, 0);
    return [...connection.tools.values()].map((tool) => ({
      name: tool.name,
      description: tool.description ?? "",
      inputSchema: tool.inputSchema as Record<string, unknown>,
      hash: () => definitionHash(tool),
    }));
  }

  async call(tool: CalledTool, args: Record<string, unknown>, options: ToolCallOptions): Promise<ToolAnswer> {
    const { connection, defined } = await this.#ready(tool, options).catch((error: unknown) => {
      const { code, message, retryAfterMs } =
        error instanceof StepError
          ? error
          : { code: "internal_error", message: reason(error), retryAfterMs: undefined };
      throw new ToolNotSentError(code, message, { ...(retryAfterMs !== undefined && { retryAfterMs }), cause: error });
    });
    const { effectKey } = options;
    const request = {
      name: tool.name,
      arguments: args,
      ...(effectKey !== undefined && { _meta: { [effectKeyMeta]: effectKey } }),
    };
    // With the definition at hand, and without its output schema, the library neither sends a call twice nor refuses an answer.
    const { outputSchema: _, ...toolDefinition } = defined;
    try {
      const result = await withAllowance(limits.toolAnswerBytes, options.signal, (signal) =>
        connection.client.callTool(request, { timeout: tool.seconds * 1000, signal, toolDefinition }),
      );
      return keptAnswer(result, connection.sent);
    } catch (error) {
      if (error instanceof ProtocolError)
        return { output: { error: masked(error.message, connection.sent) }, isError: true };
      // A connection whose answer was not read to its end, or not understood, may spoil the next call.
      if (!(error instanceof AnswerDefectError)) this.#drop(tool, options.project);
      const defect = answerDefect(error);
      if (defect !== undefined && !tool.effect) return { output: { error: defect }, isError: true };
      const why = defect ?? `${describe(tool)} gave no answer: ${masked(reason(error), connection.sent)}.`;
      throw new ToolUncertainError("tool_unreachable", why, {
        retryAfterMs: limits.retryFirstMs,
        answered: defect !== undefined,
        cause: error,
      });
    }
  }

  /** A connection to call the tool over, and its definition, which is the pinned one. Nothing has been sent to the tool before. */
  async #ready(
    tool: CalledTool,
    { project, signal }: { project: string; signal?: AbortSignal },
  ): Promise<{ connection: Connection; defined: Tool }> {
    const connection = await this.#fresh(tool, project, tool.effect ? 0 : limits.definitionsKeptMs, signal);
    const defined = connection.tools.get(tool.name);
    if (!defined || definitionHash(defined) !== tool.hash) throw changed(tool, defined !== undefined);
    return { connection, defined };
  }

  async close(): Promise<void> {
    const open = [...this.#connections.values()];
    this.#connections.clear();
    await Promise.all(open.map((opening) => opening.then(({ client }) => client.close()).catch(() => {})));
  }

  /** A connection whose definitions are at most `age` milliseconds old, of one project: no other's session or secret. */
  async #fresh(server: ToolServerAddress, project: string, age: number, signal?: AbortSignal): Promise<Connection> {
    const name = nameOf(server, project);
    const sent: string[] = [];
    try {
      // Asked here too, because the client library puts errors of its own around those of a request.
      if (server.secret !== undefined)
        sent.push(await this.#secrets.reveal({ project, name: server.secret }, server.url));
      let opening = this.#connections.get(name);
      if (!opening) {
        opening = this.#connect(server, project, sent);
        this.#connections.set(name, opening);
        opening.catch(() => this.#connections.get(name) === opening && this.#connections.delete(name));
      }
      const connection = await opening;
      if (this.#now() - connection.listedAt > age) await this.#listInto(connection, signal);
      return connection;
    } catch (error) {
      if (error instanceof StepError) throw error;
      this.#drop(server, project);
      if (error instanceof SecretError) throw new StepError(error.code, error.message, { cause: error });
      const name = server.server === undefined ? "" : `'${server.server}' `;
      const why = masked(reason(error), sent);
      const message = `The tool server ${name}at ${server.url} cannot be used: ${why}. Start it, or look at its log.`;
      throw new StepError("tool_unreachable", message, { retryAfterMs: limits.retryFirstMs, cause: error });
    }
  }

  /** `sent` collects the credentials that leave. */
  async #connect(server: ToolServerAddress, project: string, sent: string[]): Promise<Connection> {
    const { secret } = server;
    const authorize = async (url: string): Promise<string> => {
      const value = await this.#secrets.reveal({ project, name: secret! }, url);
      if (sent.at(-1) !== value) sent.push(value);
      if (sent.length > sentKept) sent.shift();
      return value;
    };
    const client = new Client(
      { name: "lineshaft", version: "0.1.0" },
      {
        versionNegotiation: { mode: "auto", probe: { timeoutMs: 5_000 } },
        listMaxPages: limits.toolListPages,
        jsonSchemaValidator: unchecked,
        // The library would call a tool again, ten times over, because its server asks for more input. An agent has none to give.
        inputRequired: { autoFulfill: false },
      },
    );
    const transport = new StreamableHTTPClientTransport(new URL(server.url), {
      fetch: egressFetch(limits.mostToolSeconds * 1000, secret === undefined ? undefined : authorize),
      reconnectionOptions: {
        maxRetries: 0,
        initialReconnectionDelay: 1000,
        maxReconnectionDelay: 1000,
        reconnectionDelayGrowFactor: 1,
      },
    });
    await withAllowance(limits.toolListBytes, undefined, (signal) =>
      client.connect(transport, { timeout: 10_000, signal }),
    );
    const connection: Connection = { client, tools: new Map(), listedAt: 0, sent };
    await this.#listInto(connection);
    return connection;
  }

  async #listInto(connection: Connection, signal?: AbortSignal): Promise<void> {
    const { tools } = await withAllowance(limits.toolListBytes, signal, (signal) =>
      connection.client.listTools(undefined, { timeout: 10_000, cacheMode: "refresh", signal }),
    );
    if (tools.length > limits.toolsListed) throw new Error(`it has more than ${limits.toolsListed} tools`);
    connection.tools = new Map(masked(tools, connection.sent).map((tool) => [tool.name, tool]));
    connection.listedAt = this.#now();
  }

  #drop(server: ToolServerAddress, project: string): void {
    const name = nameOf(server, project);
    const opening = this.#connections.get(name);
    this.#connections.delete(name);
    opening?.then(({ client }) => client.close()).catch(() => {});
  }
}

const nameOf = (server: ToolServerAddress, project: string): string =>
  JSON.stringify([project, server.url, server.secret ?? null]);

const describe = (tool: { name: string; server: string }) => `Tool '${tool.name}' of '${tool.server}'`;

function changed(tool: { name: string; server: string }, exists: boolean): StepError {
  return new StepError(
    "tool_changed",
    exists
      ? `${describe(tool)} is defined differently now than when the agent was published. Look at the change, then publish the agent again to accept it.`
      : `${describe(tool)} does not exist any more. Publish the agent again without it, or bring it back.`,
  );
}

function reason(error: unknown): string {
  if (error instanceof SdkError && /timeout/i.test(String(error.code))) return "it took too long";
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof ToolConnectionError) return cause.message;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message.replace(/\.$/, "") : String(cause);
}
