// What is answered without a key on the paths of protocols, because it tells nothing and those who ask have none to give: a client that looks
// whether a server is there (Claude Code asks HEAD / and HEAD /v1/models), and a browser that asks whether a page of another origin may call
// (CORS). Pages of any origin may: a key travels in a header that the page itself must set, and these paths read no cookie. The management
// API and the console answer no origin but their own.
import type { IncomingMessage, ServerResponse } from "node:http";
import { methodsOf } from "../../gateway/protocols/registry.ts";
import type { Protocol } from "../../gateway/protocols/types.ts";
import { limits } from "../limits.ts";

const probed: ReadonlySet<string> = new Set(["/", "/v1/models"]);

/** Answers a probe or a preflight; false where the request is neither. Marks the answers to other origins as readable by their pages. */
export function answeredAtEdge(
  request: IncomingMessage,
  response: ServerResponse,
  { path, protocol }: { path: string; protocol: Protocol | undefined },
): boolean {
  const methods = request.method === "OPTIONS" ? methodsOf(path) : [];
  if ((protocol || methods.length > 0) && request.headers.origin !== undefined) {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-expose-headers", "*");
  }
  if (request.method === "HEAD" && probed.has(path)) {
    response.writeHead(200).end();
    return true;
  }
  if (methods.length === 0) return false;
  const wanted = request.headers["access-control-request-headers"];
  response.writeHead(204, [
    ...["allow", ["OPTIONS", ...methods].join(", ")],
    ...["access-control-allow-methods", methods.join(", ")],
    ...(typeof wanted === "string" ? ["access-control-allow-headers", wanted] : []),
    ...["access-control-max-age", String(limits.preflightSeconds)],
    ...["vary", "access-control-request-headers"],
  ]);
  response.end();
  return true;
}
