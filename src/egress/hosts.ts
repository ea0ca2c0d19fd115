// Which hosts a credential may be sent to. A credential has a list of hosts, and is sent to an address only when one of them covers that
// address. This is judged at every request, on the address that the request goes to.
//
//   api.example.com        https, port 443
//   api.example.com:8443   https, that port
//   *.example.com          https, any host below it, not example.com itself
//   127.0.0.1:4077         loopback with its port: http as well
//   http://tools.lan:8080  http on a network where its owner accepts that the credential is readable on the way
import { isIP } from "node:net";

/** Hosts of one credential. */
export const mostHosts = 16;

/** The spelling that is stored and compared; undefined when it has none of the forms above. */
export function canonicalHost(text: string): string | undefined {
  const plain = text.startsWith("http://");
  const bare = plain ? text.slice("http://".length) : text;
  if (bare.length > 253 || /[\s/\\@?#%\p{Cc}]/u.test(bare) || /^\*\.|^[^*]+$/.test(bare) === false) return undefined;
  const below = bare.startsWith("*.");
  const named = below ? bare.slice(2) : bare;
  // Parsed by its own scheme, so that the scheme's default port is dropped.
  const address = `${plain ? "http" : "https"}://${named}`;
  if (!URL.canParse(address)) return undefined;
  const { host, hostname } = new URL(address);
  if (host === "" || hostname.endsWith(".") || hostname.includes("*")) return undefined;
  // `*.com` would cover hosts of all owners.
  if (below && (plain || isIP(hostname) !== 0 || !hostname.includes("."))) return undefined;
  return `${plain ? "http://" : ""}${below ? "*." : ""}${host}`;
}

/** True when a credential that belongs to these hosts (canonical) may be sent to the address. */
export function hostsCover(hosts: string[], address: string): boolean {
  if (!URL.canParse(address)) return false;
  const { protocol, host, hostname, port, username, password } = new URL(address);
  if (username !== "" || password !== "") return false;
  if (protocol === "http:")
    return hosts.includes(`http://${host}`) || (port !== "" && isLoopback(hostname) && hosts.includes(host));
  if (protocol !== "https:") return false;
  return hosts.some((one) => one === host || (one.startsWith("*.") && host.endsWith(one.slice(1))));
}

/** The host to name for an address: what `lineshaft secrets set --host` takes for it. */
export function hostOf(address: string): string | undefined {
  if (!URL.canParse(address)) return undefined;
  const { protocol, host, hostname, port } = new URL(address);
  return canonicalHost(protocol === "http:" && !(port !== "" && isLoopback(hostname)) ? `http://${host}` : host);
}

function isLoopback(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, "");
  return bare === "localhost" || bare === "::1" || (isIP(bare) === 4 && bare.startsWith("127."));
}

/** A text of the other side without the credential in it: some endpoints repeat what they were sent. */
export function withoutCredential(text: string, credential: string | undefined): string {
  // A very short credential would be found in ordinary words.
  return credential === undefined || credential.length < 8 ? text : text.replaceAll(credential, "[credential]");
}

/** Headers that carry a credential: OpenAI and most others, Azure, Anthropic, Gemini. */
const credentialHeaders = new Set(["authorization", "api-key", "x-api-key", "x-goog-api-key"]);

/** The credential among a request's headers (name and value in turn), without the word Bearer. */
export function credentialIn(headers: string[]): string | undefined {
  const at = headers.findIndex((name, index) => index % 2 === 0 && credentialHeaders.has(name.toLowerCase()));
  return at < 0 ? undefined : headers[at + 1]?.replace(/^Bearer /, "");
}
