// Agents as clients: each makes its calls one after the other over HTTP, streams them to the end, tries again where it is told that this may
// help, and gives up where its money is gone.
import { Pool } from "undici";
import { messageOf, type PlannedCall } from "./workload.ts";

export interface Client {
  /** Secret of its key. */
  key: string;
  /** Agent and run that the calls are counted for: `AGENT/RUN`. */
  program: string;
  calls: readonly PlannedCall[];
}

/** What became of the agents' calls. */
export interface Played {
  answered: number;
  /** Answers that a budget ended before their engine did. */
  cut: number;
  /** Calls that were refused for good, because the money is gone. */
  refused: number;
  /** Tries that were refused or failed and told to try again. */
  again: number;
  /** Codes of refusals, with how often they came. */
  codes: Map<string, number>;
}

type Tried = { kind: "answered"; cut: boolean } | { kind: "refused" | "again"; code: string; waitMs: number };

interface Options {
  /** Addresses of the processes that serve now. */
  addresses: () => readonly string[];
  maxTokens: number;
  /** A try without a byte for so long is given up, and made at another process. */
  patienceMs: number;
}

const triesMost = 2_000;

export async function play(clients: readonly Client[], options: Options): Promise<Played> {
  const played: Played = { answered: 0, cut: 0, refused: 0, again: 0, codes: new Map() };
  const pools = new Map<string, Pool>();
  const poolOf = (address: string) => {
    const { patienceMs } = options;
    const pool =
      pools.get(address) ??
      new Pool(address, { connections: 256, headersTimeout: patienceMs, bodyTimeout: patienceMs, pipelining: 1 });
    pools.set(address, pool);
    return pool;
  };
  await Promise.all(
    clients.map(async (client, number) => {
      for (const call of client.calls) {
        for (let tries = 0; ; tries++) {
          const addresses = options.addresses();
          const tried = await oneTry(poolOf(addresses[(number + tries) % addresses.length]!), client, call, options);
          if (tried.kind === "answered") {
            played.answered++;
            if (tried.cut) played.cut++;
            break;
          }
          played.codes.set(tried.code, (played.codes.get(tried.code) ?? 0) + 1);
          if (tried.kind === "refused" || tries === triesMost) {
            played.refused++;
            return;
          }
          played.again++;
          await new Promise((resolve) => setTimeout(resolve, tried.waitMs));
        }
      }
    }),
  );
  await Promise.all([...pools.values()].map((pool) => pool.destroy()));
  return played;
}

async function oneTry(pool: Pool, client: Client, call: PlannedCall, { maxTokens }: Options): Promise<Tried> {
  try {
    const { statusCode, headers, body } = await pool.request({
      method: "POST",
      path: "/v1/chat/completions",
      headers: {
        authorization: `Bearer ${client.key}`,
        "content-type": "application/json",
        "x-lineshaft-program": client.program,
      },
      body: JSON.stringify({
        model: "scripted",
        stream: true,
        max_tokens: maxTokens,
        messages: [{ role: "user", content: messageOf(call) }],
      }),
    });
    const text = await body.text();
    if (statusCode === 200) return endOf(text);
    const { error } = JSON.parse(text) as { error: { code: string } };
    const isFinal = headers["x-should-retry"] === "false" || ![429, 503].includes(statusCode);
    const waitMs = Math.min(1_000, Number(headers["retry-after"] ?? 0.25) * 1_000);
    return { kind: isFinal ? "refused" : "again", code: `${statusCode} ${error.code}`, waitMs };
  } catch (error) {
    const code = (error as { code?: string }).code ?? (error as Error).name;
    return { kind: "again", code, waitMs: 250 };
  }
}

/** How a stream ended. One that broke off, or ended with an error, is tried again. */
function endOf(text: string): Tried {
  if (!text.includes("data: [DONE]")) {
    const code = /"code":"([a-z_]+)"/.exec(text)?.[1] ?? "cut off";
    return { kind: code === "insufficient_quota" ? "refused" : "again", code: `stream ${code}`, waitMs: 250 };
  }
  return { kind: "answered", cut: /"finish_reason":"length"/.test(text) };
}
