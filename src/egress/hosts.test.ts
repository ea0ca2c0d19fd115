import { describe, expect, test } from "vitest";
import { canonicalHost, hostOf, hostsCover, withoutCredential } from "./hosts.ts";

test.each([
  ["api.example.com", "api.example.com"],
  ["API.Example.COM", "api.example.com"],
  ["api.example.com:443", "api.example.com"],
  ["api.example.com:8443", "api.example.com:8443"],
  ["*.example.com", "*.example.com"],
  ["127.0.0.1:4077", "127.0.0.1:4077"],
  ["[::1]:4077", "[::1]:4077"],
  ["bücher.example", "xn--bcher-kva.example"],
  ["http://tools.lan:8080", "http://tools.lan:8080"],
  ["http://tools.lan:80", "http://tools.lan"],
  ["2130706433:4077", "127.0.0.1:4077"],
])("%s is kept as %s", (text, host) => expect(canonicalHost(text)).toBe(host));

test.each([
  "",
  "*",
  "*.com",
  "*.*.com",
  "a.*.com",
  "ex*mple.com",
  "*.127.0.0.1",
  "http://*.example.com",
  "https://example.com",
  "example.com/path",
  "user@example.com",
  "example.com.",
  "example.com?x",
  "example.com#x",
  "exa mple.com",
  "example.com\u0000",
  "example.com:99999",
  "a".repeat(300),
])("%j is no host", (text) => expect(canonicalHost(text)).toBeUndefined());

describe("a credential goes", () => {
  test.each([
    ["api.example.com", "https://api.example.com/v1"],
    ["api.example.com", "https://API.EXAMPLE.COM:443/v1"],
    ["api.example.com:8443", "https://api.example.com:8443/"],
    ["*.example.com", "https://a.b.example.com/"],
    ["127.0.0.1:4077", "http://127.0.0.1:4077/mcp"],
    ["localhost:4077", "http://localhost:4077/mcp"],
    ["[::1]:4077", "http://[::1]:4077/mcp"],
    ["http://tools.lan:8080", "http://tools.lan:8080/mcp"],
  ])("with %s to %s", (host, url) => expect(hostsCover([host], url)).toBe(true));

  test.each([
    ["api.example.com", "http://api.example.com/v1"],
    ["api.example.com", "https://api.example.com:8443/"],
    ["api.example.com", "https://api.example.com.evil.test/"],
    ["api.example.com", "https://evil.test/api.example.com"],
    ["api.example.com", "https://api.example.com@evil.test/"],
    ["api.example.com", "https://user:pass@api.example.com/"],
    ["api.example.com", "https://api.example.com./"],
    ["api.example.com", "https://xapi.example.com/"],
    ["*.example.com", "https://example.com/"],
    ["*.example.com", "https://badexample.com/"],
    ["*.example.com", "https://a.example.com:8443/"],
    ["127.0.0.1", "http://127.0.0.1/"],
    ["tools.lan:8080", "http://tools.lan:8080/mcp"],
    ["http://tools.lan:8080", "http://tools.lan/mcp"],
    ["127.0.0.1:4077", "http://127.0.0.1:4078/mcp"],
    ["api.example.com", "ftp://api.example.com/"],
    ["api.example.com", "no address"],
  ])("never with %s to %s", (host, url) => expect(hostsCover([host], url)).toBe(false));
});

test.each([
  "https://api.example.com/v1",
  "http://127.0.0.1:4077/mcp",
  "http://tools.lan:8080/mcp",
  "http://tools.lan/mcp",
  "http://localhost/mcp",
  "https://[2001:db8::1]:8443/",
])("what is named for %s covers it", (url) => expect(hostsCover([hostOf(url)!], url)).toBe(true));

test("a credential that is repeated is not shown, and an empty one replaces nothing", () => {
  expect(withoutCredential("no: Bearer sk-1234567890!", "sk-1234567890")).toBe("no: Bearer [credential]!");
  expect(withoutCredential("abc", "")).toBe("abc");
  expect(withoutCredential("abc", undefined)).toBe("abc");
});
