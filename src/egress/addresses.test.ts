import { expect, test } from "vitest";
import { isRefusedAddress } from "./addresses.ts";
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
])("no endpoint may be at %s", (address) => expect(isRefusedAddress(address)).toBe(true));

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
])("an owner's endpoint may be at %s", (address) => expect(isRefusedAddress(address)).toBe(false));

test("the door itself refuses, whatever let the address through", async () => {
  await expect(
    send({ method: "GET", url: "http://169.254.169.254/latest/meta-data", headers: [] }),
  ).rejects.toMatchObject({
    code: "address_refused",
  });
});
