// The address of an engine, as a person types it.
import { checkHost } from "../egress/index.ts";
import { EngineError } from "./types.ts";

/**
 * The base address of an engine from what a person typed: http or https, no credentials, query or fragment; the version of its API (`/v1`)
 * is added where no path is given. Throws EngineError that names what is wrong, EgressError where no endpoint may be.
 */
export function engineBaseUrl(text: string, version = "v1"): string {
  const wrong = (message: string, hint: string) =>
    new EngineError({ status: 400, code: "invalid_url", message, hint, param: "url", retryable: false });
  if (!URL.canParse(text)) throw wrong(`${text} is not a URL.`, "Write it like http://localhost:8000/v1.");
  const url = new URL(text);
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw wrong(
      `Engines are reached by http or https, not ${url.protocol.slice(0, -1)}.`,
      "Write http:// or https://.",
    );
  if (url.username || url.password)
    throw wrong(
      "The URL must not hold credentials.",
      "Put the key in an environment variable and name it with --key-env.",
    );
  if (url.search || url.hash)
    throw wrong("The URL must not hold a query or a fragment.", "Give the address up to its /v1.");
  checkHost(url.hostname);
  const path = url.pathname.replace(/\/+$/, "");
  return `${url.origin}${path === "" ? `/${version}` : path}`;
}
