// A value without the credentials that were sent to the server it came from: it goes into payloads, prompts and logs.
import { withoutCredential } from "../../egress/index.ts";

/**
 * Copies the value with every credential taken out of its strings, names and numbers. A number that shows one becomes text. The
 * walk keeps its own list of what is open, so it ends whatever the depth: servers choose it.
 */
export function masked<Value>(value: Value, sent: string[]): Value {
  const clean = (text: string): string => sent.reduce<string>(withoutCredential, text);
  const open: { from: object; to: object }[] = [];
  const copy = (inner: unknown): unknown => {
    if (typeof inner === "string") return clean(inner);
    if (typeof inner === "number") {
      const text = String(inner);
      const shown = clean(text);
      return shown === text ? inner : shown;
    }
    if (typeof inner !== "object" || inner === null) return inner;
    const to = Array.isArray(inner) ? [] : {};
    open.push({ from: inner, to });
    return to;
  };
  const whole = copy(value);
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const { from, to } = at;
    if (Array.isArray(from)) for (const item of from) (to as unknown[]).push(copy(item));
    // Defined, not assigned: a server may call a field `__proto__`.
    else
      for (const [name, item] of Object.entries(from))
        Object.defineProperty(to, clean(name), {
          value: copy(item),
          enumerable: true,
          writable: true,
          configurable: true,
        });
  }
  return whole as Value;
}
