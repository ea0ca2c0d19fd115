// What the proxies are asked: the cases, the bodies, and the calls one after the other on every connection.
import { Pool } from "undici";
import { cpuMicrosOfTree } from "../cpu.ts";
import type { RunningPeer } from "./types.ts";

export interface Case {
  name: string;
  /** The API that is called. */
  api: Api;
  /** `scripted-messages` and `scripted-responses` are asked by the API of their name; `scripted` is asked by chat completions. */
  model: string;
  stream: boolean;
  /** Of the prompt. */
  bytes: number;
  connections: number;
  chunks: number;
  paceMs: number;
  /** A process that has just started compiles itself, for some 30,000 calls of Lineshaft, which would be counted as the price of a call. */
  warmUpCalls: number;
}

type Api = "chat" | "messages" | "responses";

const paths: Record<Api, string> = {
  chat: "/v1/chat/completions",
  messages: "/v1/messages",
  responses: "/v1/responses",
};

const chat = { api: "chat", model: "scripted" } as const;
const large = { stream: false, bytes: 400_000, connections: 32, chunks: 20, paceMs: 0, warmUpCalls: 600 } as const;

export const cases: readonly Case[] = [
  { name: "2 KB", ...chat, stream: false, bytes: 2_000, connections: 32, chunks: 20, paceMs: 0, warmUpCalls: 30_000 },
  { name: "400 KB", ...chat, ...large },
  {
    name: "chunks, 0 ms",
    ...chat,
    stream: true,
    bytes: 2_000,
    connections: 32,
    chunks: 100,
    paceMs: 0,
    warmUpCalls: 2_000,
  },
  {
    name: "chunks, 5 ms",
    ...chat,
    stream: true,
    bytes: 2_000,
    connections: 64,
    chunks: 100,
    paceMs: 5,
    warmUpCalls: 200,
  },
  {
    name: "one at a time",
    ...chat,
    stream: false,
    bytes: 2_000,
    connections: 1,
    chunks: 20,
    paceMs: 0,
    warmUpCalls: 500,
  },
  { name: "Messages to chat", api: "messages", model: "scripted", ...large },
  { name: "Messages", api: "messages", model: "scripted-messages", ...large },
  { name: "Responses to chat", api: "responses", model: "scripted", ...large },
  { name: "Responses", api: "responses", model: "scripted-responses", ...large },
];

/** A conversation of so many bytes, in turns of about 1 KB. Two conversations differ from their first words on. */
export function bodyOf({ api, model, stream, bytes, chunks }: Asked, conversation = 0): string {
  const text = 'The quick brown fox jumps over the lazy dog, "again" and again.\n'.repeat(16);
  const messages = Array.from({ length: Math.max(1, Math.round(bytes / 1100)) }, (_, turn) => ({
    role: turn % 2 === 0 ? "user" : "assistant",
    content: turn === 0 ? `Conversation ${conversation}. ${text}` : text,
  }));
  const limit = Math.max(64, chunks);
  return JSON.stringify(
    api === "responses"
      ? { stream, model, max_output_tokens: limit, input: messages, store: false }
      : { stream, model, max_tokens: limit, messages },
  );
}

type Asked = Pick<Case, "api" | "model" | "stream" | "bytes" | "chunks">;

/** Each connection has a conversation of its own. */
export const bodiesOf = (of: Case): Buffer[] =>
  Array.from({ length: of.connections }, (_, conversation) => Buffer.from(bodyOf(of, conversation)));

/** A call by which a proxy shows that it is ready. */
export const probe = bodyOf({ ...chat, stream: false, bytes: 1_000, chunks: 20 });

/** Calls for so long, or so many; answers their latencies in milliseconds, the shortest first. Throws where one is not answered in full. */
export async function load(
  target: RunningPeer,
  of: Case,
  bodies: readonly Buffer[],
  ms: number,
  most = Infinity,
): Promise<number[]> {
  const pool = new Pool(target.url, { connections: of.connections, pipelining: 1 });
  const latencies: number[] = [];
  const end = performance.now() + ms;
  const one = (body: Buffer) =>
    new Promise<void>((resolve, reject) => {
      let status = 0;
      let bytes = 0;
      const began = performance.now();
      pool.dispatch(
        { method: "POST", path: paths[of.api], headers: target.headers, body },
        {
          onRequestStart() {},
          onResponseStart: (_controller, code) => void (status = code),
          onResponseData: (_controller, chunk) => void (bytes += chunk.length),
          onResponseEnd() {
            // Shorter than its text, an answer is none.
            if (status !== 200 || bytes < 6 * of.chunks) return reject(new Error(`${status}, ${bytes} bytes`));
            latencies.push(performance.now() - began);
            resolve();
          },
          onResponseError: (_controller, error) => reject(error),
        },
      );
    });
  await Promise.all(
    Array.from({ length: of.connections }, async (_, place) => {
      while (performance.now() < end && latencies.length < most) await one(bodies[place % bodies.length]!);
    }),
  );
  await pool.close();
  return latencies.toSorted((a, b) => a - b);
}

export interface Sample {
  cpuMicros: number;
  databaseMicros: number;
  p50Ms: number;
  p99Ms: number;
  callsPerSecond: number;
}

/** CPU time of a call, user and system, of the proxy and of its database. */
export async function measure(target: RunningPeer, of: Case, bodies: readonly Buffer[], ms: number): Promise<Sample> {
  const database = () => (target.databasePid === undefined ? 0 : cpuMicrosOfTree(target.databasePid));
  const [cpu, databaseCpu, began] = [cpuMicrosOfTree(target.pid), database(), performance.now()];
  const latencies = await load(target, of, bodies, ms);
  const elapsed = performance.now() - began;
  // Records that are written after the answer are counted as the call's.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const calls = latencies.length;
  return {
    cpuMicros: (cpuMicrosOfTree(target.pid) - cpu) / calls,
    databaseMicros: (database() - databaseCpu) / calls,
    p50Ms: latencies[calls >> 1]!,
    p99Ms: latencies[Math.floor(calls * 0.99)]!,
    callsPerSecond: (calls * 1000) / elapsed,
  };
}
