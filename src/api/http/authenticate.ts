// From the headers of a request to its principal, for /v1 and for everything on Hono. A request with a body is authenticated twice: before
// its body is read, so that strangers take no memory, and once more after it, since a sender may hold the end of its body back for
// minutes and its key may have been revoked meanwhile. The second time costs a look into memory (`Identity.isConfirmed`).
import type { Identity } from "../../governance/index.ts";
import type { Principal } from "../../governance/types.ts";
import { unauthenticated } from "../../gateway/refusals.ts";

/** Finds one header; names are in small letters. */
type HeaderOf = (name: string) => string | undefined;

/**
 * The principal of a request, by `authorization: Bearer`, by `x-api-key`, or by what its protocol has in their place (`own`). It is answered
 * at once where the key was confirmed within the last second. Throws, or rejects with, 401.
 */
export function authenticate(
  identity: Pick<Identity, "authenticate" | "remembered">,
  header: HeaderOf,
  own?: string,
): Principal | Promise<Principal> {
  const authorization = header("authorization");
  const token = bearerOf(authorization) ?? header("x-api-key") ?? own;
  if (token === undefined) throw unauthenticated(authorization === undefined ? "none" : "no bearer");
  return identity.remembered(token) ?? lookedUp(identity, token);
}

/** The name of the scheme may be written in any letters (RFC 9110, section 11.1). */
const bearerOf = (authorization: string | undefined): string | undefined =>
  authorization !== undefined && /^bearer /i.test(authorization) ? authorization.slice(7).trim() : undefined;

async function lookedUp(identity: Pick<Identity, "authenticate">, token: string): Promise<Principal> {
  const principal = await identity.authenticate(token);
  if (principal) return principal;
  throw unauthenticated("unknown");
}
