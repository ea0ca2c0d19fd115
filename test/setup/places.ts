// Where a test sends a request when several processes serve: to one certain gateway process of an instance, or to an address.
import { Client as Connection } from "undici";
import type { ComponentStatus, Status } from "../../src/contract/index.ts";
import type { Instance } from "./instance.ts";

export interface Answer {
  status: number;
  body: any;
}

/** One process that serves. */
export interface Place {
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Events of its feed, until the signal aborts; `type` and the parsed data of each. Resolves when the feed stands. */
  feed(stop: AbortSignal): Promise<{ type: string; data: any }[]>;
}

/** The gateway processes of an instance by name, as they are now. */
export async function gatewaysOf(instance: Pick<Instance, "address" | "key">): Promise<Map<string, ComponentStatus>> {
  const response = await fetch(`${instance.address}/api/status`, {
    headers: { authorization: `Bearer ${instance.key}` },
  });
  const { components } = (await response.json()) as Status;
  return new Map(components.filter(({ name }) => name.startsWith("gateway-")).map((one) => [one.name, one]));
}

/** A place by its address. `connect` opens a connection to it. */
export function placeOf(key: string, connect: () => Promise<Connection>): Place {
  const headersOf = (more: Record<string, string> = {}) => ({ authorization: `Bearer ${key}`, ...more });
  return {
    async ask(method, path, body, more) {
      const connection = await connect();
      try {
        const answer = await connection.request({
          method: method as "GET",
          path,
          headers: headersOf({ ...(body !== undefined && { "content-type": "application/json" }), ...more }),
          ...(body !== undefined && { body: JSON.stringify(body) }),
        });
        const text = await answer.body.text();
        const isJson = String(answer.headers["content-type"]).includes("json");
        return { status: answer.statusCode, body: isJson ? JSON.parse(text) : text };
      } finally {
        await connection.destroy();
      }
    },
    async feed(stop) {
      const connection = await connect();
      const seen: { type: string; data: any }[] = [];
      const { body } = await connection.request({ method: "GET", path: "/api/events", headers: headersOf() });
      stop.addEventListener("abort", () => void connection.destroy());
      const stands = Promise.withResolvers<void>();
      void (async () => {
        let text = "";
        for await (const piece of body) {
          stands.resolve();
          const blocks = (text += String(piece)).split("\n\n");
          text = blocks.pop()!;
          for (const block of blocks) {
            const lines = new Map(block.split("\n").map((line) => line.split(/: (.*)/s) as [string, string]));
            if (lines.has("data")) seen.push({ type: lines.get("event")!, data: JSON.parse(lines.get("data")!) });
          }
        }
      })().catch(() => {});
      await stands.promise;
      return seen;
    },
  };
}

/** The process at an address that one process serves. */
export const placeAt = (instance: Pick<Instance, "address">, key: string): Place =>
  placeOf(key, async () => new Connection(instance.address));

/** Two connections that are made at one moment would freeze each other's process. */
let connecting: Promise<unknown> = Promise.resolve();

/** One of several gateway processes: the others are frozen for the moment in which the connection is made. */
export function placeIn(instance: Pick<Instance, "address" | "key">, name: string): Place {
  const connect = async () => {
    const others = [...(await gatewaysOf(instance))].flatMap(([other, { pid }]) => (other === name ? [] : [pid!]));
    for (const pid of others) process.kill(pid, "SIGSTOP");
    try {
      const connection = new Connection(instance.address, { keepAliveTimeout: 60_000 });
      await (await connection.request({ method: "GET", path: "/healthz" })).body.dump();
      return connection;
    } finally {
      for (const pid of others) process.kill(pid, "SIGCONT");
    }
  };
  return placeOf(instance.key, () => {
    const connected = connecting.then(connect);
    connecting = connected.catch(() => {});
    return connected;
  });
}
