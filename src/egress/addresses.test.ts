import { expect, test } from "vitest";
import { engineBaseUrl, isRefusedAddress } from "./addresses.ts";
import { send } from "./egress.ts";

test.each([
  "169.254.169.254",
  "169.254.0.1",
  "0.0.0.0",
  "224.0.0.1",
  "255.255.255.255",
  "100.100.100.200",
  "168.63.129.16",
  "::",
  "::ffff:169.254.169.254",
  "::ffff:a9fe:a9fe",
  "0:0:0:0:0:ffff:a9fe:a9fe",
  "fe80::1",
  "fe80::1%eth0",
  "ff02::1",
  "fd00:ec2::254",
  "64:ff9b::a9fe:a9fe",
  "not an address",
])("no engine may be at %s", (address) => expect(isRefusedAddress(address)).toBe(true));

test.each([
  "127.0.0.1",
  "10.1.2.3",
  "192.168.1.5",
  "172.16.0.1",
  "8.8.8.8",
  "::1",
  "fd12:3456::1",
  "2606:4700::1111",
  "::ffff:10.0.0.1",
])("an owner's engine may be at %s", (address) => expect(isRefusedAddress(address)).toBe(false));

test.each([
  ["http://localhost:8000", "http://localhost:8000/v1"],
  ["http://localhost:8000/", "http://localhost:8000/v1"],
  ["https://api.example.com/v1/", "https://api.example.com/v1"],
  ["https://api.example.com/openai/v1", "https://api.example.com/openai/v1"],
])("%s is read as %s", (typed, base) => expect(engineBaseUrl(typed)).toBe(base));

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

test("the door itself refuses, whatever let the address through", async () => {
  await expect(
    send({ method: "GET", url: "http://169.254.169.254/latest/meta-data", headers: [] }),
  ).rejects.toMatchObject({
    code: "engine_unreachable",
  });
});
