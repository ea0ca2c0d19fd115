// Checks every request to /api before its route runs: the address is valid UTF-8, the body is JSON of a bounded
// size and depth, and no text holds what Postgres cannot keep. Which fields there are is judged by each route's schema.
import type { HttpBindings } from "@hono/node-server";
import type { Context, MiddlewareHandler } from "hono";
import { LineshaftError } from "../errors/index.ts";
import { nextTurn, textOf } from "../bounded/index.ts";
import type { Principal } from "../governance/types.ts";
import { isStorable, unstorable } from "../store/index.ts";
import { limits } from "./limits.ts";
import { isLarge, jsonOf, readBody, type BodyBudget } from "./http/bodies.ts";
import { bodyTooLarge } from "../gateway/refusals.ts";
import { checkValues } from "../gateway/values.ts";
import type { ApiEnv } from "./helpers.ts";

/** `principalOf` authenticates the request again after its body has come, because its key may have been revoked meanwhile. */
export const checkInput =
  (
    bodies: BodyBudget,
    principalOf: (c: Context<ApiEnv>) => Promise<Principal>,
  ): MiddlewareHandler<ApiEnv & { Bindings: HttpBindings }> =>
  async (c, next) => {
    const { pathname, search, searchParams } = new URL(c.req.url);
    if (!isStorable(decoded(pathname, "path"))) throw invalid("path", "The path", unstorable);
    decoded(search.replaceAll("+", " "), "query");
    for (const [name, value] of searchParams) {
      if (!isStorable(name)) throw invalid("query", "The name of a query parameter", unstorable);
      if (!isStorable(value)) throw invalid(name, `The query parameter ${name}`, unstorable);
    }
    const { method } = c.req;
    checkLength(c.req.header("content-length"), c.req.header("transfer-encoding"), method);
    if (method !== "GET" && method !== "HEAD" && Number(c.req.header("content-length") ?? 0) > 0) {
      const held = bodies.open(c.var.principal.key);
      try {
        const read = await readBody(c.env.incoming, { mostBytes: limits.apiBodyBytes, json: apiJson, held });
        const { bytes } = read;
        const body = await jsonOf(read);
        checkValues(body, { depth: limits.apiBodyDepth, values: limits.apiBodyValues, text: true });
        if (isLarge(bytes)) await nextTurn();
        c.set("principal", await principalOf(c as unknown as Context<ApiEnv>));
        // Routes read the body from here: the request's own has been read to its end.
        c.req.bodyCache.text = Promise.resolve(textOf(bytes)) as never;
        await next();
      } finally {
        held.release();
      }
      return;
    }
    return next();
  };

const apiJson = { depth: limits.apiBodyDepth, values: limits.apiBodyValues, numbers: limits.apiBodyValues };

function decoded(text: string, where: "path" | "query"): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(where, `The ${where} of the address`, "has percent-encoding that is not valid UTF-8");
  }
}

function invalid(param: string, what: string, problem: string): LineshaftError {
  return new LineshaftError({
    code: "invalid_value",
    message: `${what} ${problem}.`,
    param: param.slice(0, 100),
    hint: "Correct it and send the request again.",
  });
}

/** Refuses bodies past the bound, and bodies without a length, which Hono would read to their end. */
function checkLength(length: string | undefined, encoding: string | undefined, method: string): void {
  if (Number(length ?? 0) > limits.apiBodyBytes) throw bodyTooLarge(limits.apiBodyBytes);
  if (encoding === undefined || method === "DELETE" || method === "GET") return;
  throw new LineshaftError({
    code: "length_required",
    message: "The body must come with its length.",
    hint: "Send content-length instead of transfer-encoding.",
  });
}
