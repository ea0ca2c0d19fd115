// The one Restate service: a virtual object per run, one invocation per turn. It knows nothing of agents; all it does is to
// call `advance` until there is nothing left to do now, and to keep in its journal what that answered: numbers and references.
//
// A wait ends the turn, as do forty steps or four minutes: what comes next is a new invocation, so none gets old, a deployment can
// always drain, and the journal stays small.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import { join } from "node:path";
import { createEndpointHandler, object, type ObjectContext } from "@restatedev/restate-sdk";
import type { Logger } from "../../telemetry/index.ts";
import { limits } from "../limits.ts";
import type { Advance } from "../turn.ts";
import { serviceName } from "./client.ts";

export interface EndpointOptions {
  advance(run: string): Promise<Advance>;
  /** Requests must be signed with one of these. If there are none, every client that reaches the endpoint may invoke it. */
  identityKeys: string[];
  /** Loopback and any free port by default. */
  listen?: { host?: string; port?: number };
  log: Logger;
}

export interface RunEndpoint {
  /** Address on this machine, with the code's version as its path. */
  url: string;
  path: string;
  close(): Promise<void>;
}

/** Serves the service; resolves when it listens. */
export async function serveRuns(options: EndpointOptions): Promise<RunEndpoint> {
  const handler = createEndpointHandler({
    services: [runObject(options.advance)],
    ...(options.identityKeys.length > 0 && { identityKeys: options.identityKeys }),
    // What the SDK would print for every retry is in the runs' own rows already.
    logger: (meta, message) => {
      if (meta.level === "error") options.log.debug({ source: "restate-sdk" }, String(message));
    },
  });
  const server = createServer(handler as Parameters<typeof createServer>[1] & object);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  const host = options.listen?.host ?? "127.0.0.1";
  const port = await listen(server, host, options.listen?.port ?? 0);
  const path = `/v/${codeVersion()}`;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${port}${path}`,
    path,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
      }),
  };
}

function runObject(advance: (run: string) => Promise<Advance>) {
  return object({
    name: serviceName,
    handlers: {
      turn: async (context: ObjectContext): Promise<void> => {
        const began = await context.date.now();
        for (let step = 0; step < limits.turnSteps; step++) {
          const result = await context.run("step", () => advance(context.key), {
            initialRetryInterval: limits.retryFirstMs,
            maxRetryInterval: limits.retryMostMs,
          });
          if (result.next === "nothing") return;
          if (result.next === "wait") {
            sendTurn(context, result.delayMs);
            return;
          }
          if ((await context.date.now()) - began > limits.turnMs) break;
        }
        sendTurn(context, 0);
      },
    },
    options: {
      ingressPrivate: false,
      journalRetention: 0,
      inactivityTimeout: limits.durableInactivityMs,
      abortTimeout: limits.durableAbortMs,
      retryPolicy: { initialInterval: 100, exponentiationFactor: 2, maxInterval: 5_000, onMaxAttempts: "pause" },
    },
  });
}

/** The next turn of the same run, as an invocation of its own. */
function sendTurn(context: ObjectContext, delayMs: number): void {
  context.genericSend({
    service: serviceName,
    method: "turn",
    key: context.key,
    parameter: new Uint8Array(),
    ...(delayMs > 0 && { delay: Math.ceil(delayMs) }),
  });
}

function listen(server: Http2Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address ? address.port : port);
    });
  });
}

/** Hash of this room's code: a changed interpreter is another deployment, and no journal is replayed by code that did not write it. */
function codeVersion(): string {
  const root = join(import.meta.dirname, "..");
  const hash = createHash("sha256");
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) =>
    /(?<!\.test)\.[jt]s$/.test(name),
  );
  for (const name of files.toSorted())
    hash
      .update(name)
      .update("\0")
      .update(readFileSync(join(root, name)));
  return hash.digest("hex").slice(0, 12);
}
