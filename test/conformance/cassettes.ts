// Exchanges with real providers that other projects have recorded with VCR.py: one YAML file holds the requests of a test and their answers.
// LINESHAFT_RECORDINGS names a folder of them. They are read here and shown as an exchange over HTTP, and say by their address which API it is.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import type { AddedKind, Shape } from "../../src/engines/index.ts";

type Json = Record<string, any>;

export interface Exchange {
  /** File below the folder, and the number of the exchange in it. */
  name: string;
  kind: AddedKind;
  shape: Shape;
  host: string;
  /** Path and query below the version of the API, as the provider's clients send it. */
  path: string;
  /** The address up to and with the version, without the host. */
  base: string;
  model: string;
  streams: boolean;
  request: Json;
  response: { status: number; type: string; body: string };
}

const apis: [pattern: RegExp, kind: AddedKind, shape: Shape][] = [
  [/^(.*\/v\d\w*)(\/messages)$/, "anthropic", "messages"],
  [/^(.*)(\/chat\/completions)$/, "openai", "chat"],
  [/^(.*)(\/responses)$/, "responses", "responses"],
  [/^(.*\/v1\w*)(\/models\/[^/:]+:(?:streamG|g)enerateContent)$/, "gemini", "gemini"],
  [/^(.*)(\/embeddings)$/, "openai", "embeddings"],
];

/** Hosts whose addresses look like these APIs and whose signing or fields are their own. */
const foreign = /amazonaws\.com|voyageai\.com|localhost|127\.0\.0\.1/;

/** All exchanges of a folder that Lineshaft has an engine for, in the order of their files. */
export function exchanges(folder: string): Exchange[] {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".yaml"));
  return files.toSorted().flatMap((file) => {
    const { interactions = [] } = (parse(readFileSync(join(folder, file), "utf8")) ?? {}) as Json;
    return (interactions as Json[]).flatMap((one, place) => exchangeOf(one, `${file} ${place + 1}`) ?? []);
  });
}

function exchangeOf({ request, response }: Json, name: string): Exchange | undefined {
  // Sessions over a WebSocket are written in another way.
  if (!request?.uri || !response) return undefined;
  const address = new URL(request["uri"] as string);
  if (request["method"] !== "POST" || foreign.test(address.hostname)) return undefined;
  for (const [pattern, kind, shape] of apis) {
    const found = pattern.exec(address.pathname);
    if (!found) continue;
    const body = (request["parsed_body"] ?? jsonOf(request["body"])) as Json | undefined;
    if (body === undefined || body === null || typeof body !== "object") return undefined;
    const [, base, path] = found as unknown as [string, string, string];
    const status = (response["status"]["code"] ?? response["status"]) as number;
    const text = bodyOf(response);
    if (text === undefined) return undefined;
    return {
      name,
      kind,
      shape,
      host: address.hostname,
      base,
      path: path + address.search,
      model: /models\/([^:]+):/.exec(path)?.[1] ?? String(body["model"]),
      streams: body["stream"] === true || path.includes(":streamGenerateContent"),
      request: body,
      response: { status, type: headerOf(response, "content-type") ?? "application/json", body: text },
    };
  }
  return undefined;
}

/** The body as text; undefined where it was kept compressed, as bytes or as a part of what came. */
function bodyOf(response: Json): string | undefined {
  if (response["parsed_body"] !== undefined) return JSON.stringify(response["parsed_body"]);
  const text = response["body"]?.["string"] as unknown;
  return typeof text === "string" && text !== "" ? text : undefined;
}

function jsonOf(text: unknown): unknown {
  try {
    return typeof text === "string" ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

function headerOf(response: Json, name: string): string | undefined {
  const headers = (response["headers"] ?? {}) as Record<string, string[] | string>;
  const key = Object.keys(headers).find((one) => one.toLowerCase() === name);
  const value = key === undefined ? undefined : headers[key];
  return Array.isArray(value) ? value[0] : value;
}
