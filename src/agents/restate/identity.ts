// Restate's form of an Ed25519 public key: `publickeyv1_` and base58 (Bitcoin's alphabet) of its 32 bytes.
import type { KeyObject } from "node:crypto";

const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

export function identityKeyOf(key: KeyObject): string {
  const { x } = key.export({ format: "jwk" });
  return `publickeyv1_${base58(Buffer.from(x!, "base64url"))}`;
}

function base58(bytes: Uint8Array): string {
  let rest = BigInt(`0x${Buffer.from(bytes).toString("hex") || "0"}`);
  let text = "";
  for (; rest > 0n; rest /= 58n) text = alphabet[Number(rest % 58n)] + text;
  let zeros = 0;
  while (zeros < bytes.length && bytes[zeros] === 0) zeros++;
  return alphabet[0]!.repeat(zeros) + text;
}
