// Which network addresses may be connected to. Owners configure endpoints on their own machine and network, so loopback and private
// ranges are allowed for these. Addresses where no endpoint ever is, and those that answer with credentials of the machine (cloud
// metadata services), are refused under every name: the check is made on the resolved address, at the moment of connecting.
import { lookup as resolve } from "node:dns";
import type { LookupAddress } from "node:dns";
import { BlockList, isIP } from "node:net";
import type { LookupFunction } from "node:net";
import { EgressError } from "./errors.ts";

const refused = new BlockList();
refused.addSubnet("0.0.0.0", 8, "ipv4");
refused.addSubnet("169.254.0.0", 16, "ipv4"); // link-local; metadata of AWS, GCP, Azure, OpenStack
refused.addSubnet("224.0.0.0", 3, "ipv4"); // multicast, reserved, broadcast
refused.addAddress("100.100.100.200", "ipv4"); // metadata of Alibaba Cloud
refused.addAddress("168.63.129.16", "ipv4"); // Azure's wire server
refused.addAddress("192.0.0.192", "ipv4"); // metadata of Oracle Cloud
refused.addAddress("::", "ipv6");
refused.addSubnet("fe80::", 10, "ipv6"); // link-local
refused.addSubnet("ff00::", 8, "ipv6"); // multicast
refused.addAddress("fd00:ec2::254", "ipv6"); // metadata of AWS
refused.addAddress("fd20:ce::254", "ipv6"); // metadata of GCP
// Addresses that carry an IPv4 address inside (NAT64, 6to4): what is inside would have to be judged, and endpoints need neither.
refused.addSubnet("64:ff9b::", 96, "ipv6");
refused.addSubnet("2002::", 16, "ipv6");

/** Beside those, every address that is not public: RFC 6890's special purposes, private and shared address space. */
const notPublic = new BlockList();
notPublic.addSubnet("10.0.0.0", 8, "ipv4");
notPublic.addSubnet("100.64.0.0", 10, "ipv4");
notPublic.addSubnet("127.0.0.0", 8, "ipv4");
notPublic.addSubnet("172.16.0.0", 12, "ipv4");
notPublic.addSubnet("192.0.0.0", 24, "ipv4");
notPublic.addSubnet("192.0.2.0", 24, "ipv4");
notPublic.addSubnet("192.168.0.0", 16, "ipv4");
notPublic.addSubnet("198.18.0.0", 15, "ipv4");
notPublic.addSubnet("198.51.100.0", 24, "ipv4");
notPublic.addSubnet("203.0.113.0", 24, "ipv4");
notPublic.addAddress("::1", "ipv6");
notPublic.addSubnet("fc00::", 7, "ipv6");
notPublic.addSubnet("fec0::", 10, "ipv6");
notPublic.addSubnet("2001::", 23, "ipv6");
notPublic.addSubnet("2001:db8::", 32, "ipv6");

/** True when a literal address is not public, so that it cannot be reached from all of the Internet. */
export const isNotPublic = (address: string): boolean => isRefusedAddress(address) || isIn(notPublic, address);

/** True when no endpoint may be at this literal address. `::ffff:a.b.c.d` is judged as a.b.c.d. */
export const isRefusedAddress = (address: string): boolean => isIn(refused, address);

/** An address that cannot be parsed counts as being in every list. */
function isIn(list: BlockList, address: string): boolean {
  const family = isIP(address);
  if (family === 0) return true;
  if (family === 4) return list.check(address, "ipv4");
  const bare = address.split("%")[0]!;
  // The URL parser writes mapped addresses in hexadecimal: ::ffff:a9fe:a9fe.
  const canonical = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const mapped = /^::(?:ffff:)?([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (mapped) {
    const high = parseInt(mapped[1]!, 16);
    const low = parseInt(mapped[2]!, 16);
    return list.check(`${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`, "ipv4");
  }
  return list.check(canonical, "ipv6");
}

function refusal(host: string, address: string): EgressError {
  return new EgressError({
    code: "address_refused",
    message: `${host} is at ${address}, where no endpoint may be (link-local, multicast or a cloud's metadata service).`,
    hint: "Give the endpoint's own address. Loopback and private networks are allowed.",
    param: "url",
  });
}

/** Throws EgressError unless the host may be connected to as far as its name tells; names are judged when resolved. */
export function checkHost(host: string): void {
  const bare = host.replace(/^\[|\]$/g, "");
  if (isIP(bare) !== 0 && isRefusedAddress(bare)) throw refusal(host, bare);
}

/** A `lookup` for sockets: resolves the name, refuses it when any of its addresses is refused, and answers the addresses judged. */
const lookupBut =
  (isRefused: (address: string) => boolean): LookupFunction =>
  (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error) return callback(error, "", 0);
      const bad = addresses.find(({ address }) => isRefused(address));
      if (bad) return callback(refusal(hostname, bad.address), "", 0);
      if (options.all) return callback(null, addresses);
      const first = addresses[0]!;
      return callback(null, first.address, first.family);
    });
  };

/** For addresses that an owner configured. */
export const checkedLookup = lookupBut(isRefusedAddress);
/** For addresses that a caller named. */
export const publicLookup = lookupBut(isNotPublic);

/**
 * The address of a host, resolved and judged, for sockets that do their own connecting. Throws EgressError where no endpoint
 * may be, or where the name is not known.
 */
export async function judgedAddress(host: string): Promise<{ literal: string; family: 4 | 6 }> {
  const bare = host.replace(/^\[|\]$/g, "");
  checkHost(bare);
  const family = isIP(bare);
  if (family !== 0) return { literal: bare, family: family as 4 | 6 };
  return new Promise((answer, reject) => {
    checkedLookup(bare, {}, (error, literal, foundFamily) => {
      if (!error) return answer({ literal: literal as string, family: foundFamily as 4 | 6 });
      if (error instanceof EgressError) return reject(error);
      reject(
        new EgressError({
          code: "endpoint_unreachable",
          message: `The name ${host} cannot be looked up.`,
          hint: "Check the endpoint's address.",
          cause: error,
        }),
      );
    });
  });
}
