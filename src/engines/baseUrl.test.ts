import { expect, test } from "vitest";
import { engineBaseUrl } from "./baseUrl.ts";

test.each([
  ["http://localhost:8000", "http://localhost:8000/v1"],
  ["http://localhost:8000/", "http://localhost:8000/v1"],
  ["https://api.example.com/v1/", "https://api.example.com/v1"],
  ["https://api.example.com/openai/v1", "https://api.example.com/openai/v1"],
])("%s is read as %s", (typed, base) => expect(engineBaseUrl(typed)).toBe(base));

test("an address without a path gets the version that is asked for", () => {
  const host = "https://generativelanguage.googleapis.com";
  expect(engineBaseUrl(host, "v1beta")).toBe(`${host}/v1beta`);
  expect(engineBaseUrl(`${host}/v1`, "v1beta")).toBe(`${host}/v1`);
});

test.each([
  ["ftp://example.com", "invalid_url"],
  ["file:///etc/passwd", "invalid_url"],
  ["http://user:secret@example.com/v1", "invalid_url"],
  ["http://example.com/v1?key=1", "invalid_url"],
  ["http://example.com/v1#x", "invalid_url"],
  ["nonsense", "invalid_url"],
  ["http://169.254.169.254/latest", "address_refused"],
  ["http://[::ffff:169.254.169.254]/", "address_refused"],
  // The URL parser turns every spelling of an IPv4 address into the same four numbers.
  ["http://2852039166/", "address_refused"],
  ["http://0xa9.0xfe.0xa9.0xfe/", "address_refused"],
  ["http://0251.0376.0251.0376/", "address_refused"],
  ["http://169.254.43518/", "address_refused"],
])("%s is refused as %s", (typed, code) => {
  expect(() => engineBaseUrl(typed)).toThrow(expect.objectContaining({ code, status: 400 }));
});
