// Parts of the fixture server's answers: refusals, pages of lists, and the files of the built console.
import type { IncomingMessage, ServerResponse } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { newId } from "../../store/ids.ts";

const consoleFolder = fileURLToPath(new URL("../../../dist/console", import.meta.url));

/** A refusal in the API's shape. */
export class Answer extends Error {
  readonly status: number;
  readonly body: unknown;
  constructor(status: number, code: string, message: string, hint?: string) {
    super(message);
    this.status = status;
    this.body = { error: { code, message, hint, request_id: newId("req") } };
  }
}

export function page<T extends { id: string }>(rows: T[], query: URLSearchParams) {
  const limit = Number(query.get("limit") ?? 50);
  const after = query.get("cursor");
  const from = after === null ? 0 : rows.findIndex((row) => row.id === after) + 1;
  const data = rows.slice(from, from + limit);
  return { data, next_cursor: from + limit < rows.length ? (data.at(-1)?.id ?? null) : null };
}

export function found<T>(value: T | undefined, kind: string, id: string): T {
  if (value === undefined)
    throw new Answer(404, "not_found", `No ${kind} is called ${id}.`, `List them at /api/${kind}s.`);
  return value;
}

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const part of request) text += String(part);
  return JSON.parse(text) as Record<string, unknown>;
}

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
};

/** A file of the built console. As on an instance, a path without an extension answers the console's page. */
export async function serveFile(path: string, response: ServerResponse): Promise<void> {
  if (!path.startsWith("/console")) {
    response.writeHead(302, { location: "/console/" }).end();
    return;
  }
  const asked = normalize(path.slice("/console".length));
  const file = extname(asked) === "" ? "index.html" : asked;
  const bytes = await readFile(join(consoleFolder, file)).catch(() => undefined);
  if (bytes === undefined) throw new Answer(404, "not_found", `No file ${path}.`);
  response.writeHead(200, {
    "content-type": types[extname(file)] ?? "application/octet-stream",
    "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
  });
  response.end(bytes);
}
