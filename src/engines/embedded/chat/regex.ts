// The part of ECMAScript's regular expressions that describes regular languages, parsed for automaton.ts. Schemas use
// `pattern` with the `u` flag (JSON Schema 2020-12, 6.3.3). What is not regular or not supported (lookaround, back
// references, word boundaries, Unicode properties) is refused by name; nothing is approximated.
import type { Regex } from "./automaton.ts";
import { anyChar, charset, charsOf, complement, subtract, type Charset } from "./charset.ts";

/** A construct of the pattern that cannot be enforced; the message names it. */
export class UnsupportedPattern extends Error {}

const digit: Charset = [[0x30, 0x39]];
const word = charset([...digit, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]);
const lineEnds = charsOf("\n\r\u2028\u2029");
const space = charset([...charsOf("\t\v\f \u00a0\ufeff\u1680\u202f\u205f\u3000"), ...lineEnds, [0x2000, 0x200a]]);
const classEscapes: Record<string, Charset> = {
  d: digit,
  D: complement(digit),
  w: word,
  W: complement(word),
  s: space,
  S: complement(space),
};
const controlEscapes: Record<string, string> = { t: "\t", n: "\n", r: "\r", v: "\v", f: "\f", 0: "\0" };
const maxRepeat = 1000;

/** Parses an ECMAScript pattern. Throws UnsupportedPattern. */
export function parseRegex(source: string): Regex {
  return new PatternReader(source).read();
}

class PatternReader {
  private readonly chars: string[];
  private at = 0;

  constructor(source: string) {
    this.chars = Array.from(source);
  }

  read(): Regex {
    const regex = this.alternatives();
    if (this.at < this.chars.length) throw new UnsupportedPattern("unbalanced `)`");
    return regex;
  }

  private take(text: string): boolean {
    const end = this.at + text.length;
    if (this.chars.slice(this.at, end).join("") !== text) return false;
    this.at = end;
    return true;
  }

  private alternatives(): Regex {
    const items = [this.sequence()];
    while (this.take("|")) items.push(this.sequence());
    return items.length === 1 ? items[0]! : { kind: "alt", items };
  }

  private sequence(): Regex {
    const items: Regex[] = [];
    while (this.at < this.chars.length && this.chars[this.at] !== "|" && this.chars[this.at] !== ")") {
      items.push(this.quantified(this.atom()));
    }
    return items.length === 1 ? items[0]! : { kind: "cat", items };
  }

  private atom(): Regex {
    if (this.take("^")) return { kind: "start" };
    if (this.take("$")) return { kind: "end" };
    if (this.take("(")) return this.group();
    if (this.take("[")) return { kind: "set", set: this.charClass() };
    if (this.take(".")) return { kind: "set", set: complement(lineEnds) };
    if (this.take("\\")) return { kind: "set", set: this.escape(false) };
    const char = this.chars[this.at++]!;
    if (char === "*" || char === "+" || char === "?")
      throw new UnsupportedPattern(`nothing to repeat before \`${char}\``);
    return { kind: "set", set: charsOf(char) };
  }

  private group(): Regex {
    for (const assertion of ["?=", "?!", "?<=", "?<!"]) {
      if (this.take(assertion)) throw new UnsupportedPattern(`lookaround \`(${assertion}\` is not supported`);
    }
    if (this.take("?<") || this.take("?P<")) {
      const close = this.chars.indexOf(">", this.at);
      if (close < 0) throw new UnsupportedPattern("unclosed group name");
      this.at = close + 1;
    } else if (!this.take("?:") && this.chars[this.at] === "?") {
      throw new UnsupportedPattern("inline flags are not supported");
    }
    const inside = this.alternatives();
    if (!this.take(")")) throw new UnsupportedPattern("unclosed `(`");
    return inside;
  }

  private quantified(item: Regex): Regex {
    const bounds = this.quantifier();
    if (!bounds) return item;
    if (item.kind === "start" || item.kind === "end")
      throw new UnsupportedPattern("a repeated anchor is not supported");
    this.take("?"); // lazy or greedy, the language is the same
    if (this.quantifier()) throw new UnsupportedPattern("a quantifier behind a quantifier is not supported");
    return { kind: "repeat", item, min: bounds[0], max: bounds[1] };
  }

  private quantifier(): [min: number, max: number] | undefined {
    if (this.take("*")) return [0, Infinity];
    if (this.take("+")) return [1, Infinity];
    if (this.take("?")) return [0, 1];
    const braces = /^\{(\d{1,6})(,(\d{1,6})?)?\}/.exec(this.chars.slice(this.at, this.at + 16).join(""));
    if (!braces) return undefined;
    this.at += braces[0].length;
    const min = Number(braces[1]);
    const max = braces[2] === undefined ? min : braces[3] === undefined ? Infinity : Number(braces[3]);
    if (max < min) throw new UnsupportedPattern(`\`${braces[0]}\` is out of order`);
    if (min > maxRepeat || (max !== Infinity && max > maxRepeat)) {
      throw new UnsupportedPattern(
        `\`${braces[0]}\` repeats more than ${maxRepeat} times; use maxLength for long strings`,
      );
    }
    return [min, max];
  }

  private charClass(): Charset {
    const negated = this.take("^");
    const ranges: (readonly [number, number])[] = [];
    while (!this.take("]")) {
      const low = this.classAtom();
      if (this.chars[this.at] === "-" && this.chars[this.at + 1] !== "]" && single(low)) {
        this.at++;
        const high = this.classAtom();
        if (!single(high)) ranges.push(...low, ...charsOf("-"), ...high);
        else if (high[0]![0] < low[0]![0]) throw new UnsupportedPattern("a character range is out of order");
        else ranges.push([low[0]![0], high[0]![0]]);
      } else ranges.push(...low);
    }
    const set = charset(ranges);
    return negated ? subtract(anyChar, set) : set;
  }

  private classAtom(): Charset {
    if (this.at >= this.chars.length) throw new UnsupportedPattern("unclosed `[`");
    return this.take("\\") ? this.escape(true) : charsOf(this.chars[this.at++]!);
  }

  private escape(inClass: boolean): Charset {
    const char = this.chars[this.at++];
    if (char === undefined) throw new UnsupportedPattern("a `\\` at the end");
    if (classEscapes[char]) return classEscapes[char];
    if (inClass && char === "b") return charsOf("\b");
    if (controlEscapes[char] && !(char === "0" && /\d/.test(this.chars[this.at] ?? "")))
      return charsOf(controlEscapes[char]);
    if (char === "x") return this.hex(/^[0-9a-fA-F]{2}/);
    if (char === "u") return this.unicode();
    if (char === "c" && /[a-zA-Z]/.test(this.chars[this.at] ?? "")) {
      const code = this.chars[this.at++]!.charCodeAt(0) % 32;
      return [[code, code]];
    }
    if (char === "b" || char === "B") throw new UnsupportedPattern(`the word boundary \`\\${char}\` is not supported`);
    if (char === "p" || char === "P")
      throw new UnsupportedPattern(`the Unicode property \`\\${char}{…}\` is not supported`);
    if (/\d|k/.test(char)) throw new UnsupportedPattern(`the back reference \`\\${char}\` is not supported`);
    if (/[a-zA-Z]/.test(char)) throw new UnsupportedPattern(`the escape \`\\${char}\` is not known`);
    return charsOf(char);
  }

  private hex(form: RegExp): Charset {
    const found = form.exec(this.chars.slice(this.at, this.at + 8).join(""))?.[0];
    if (!found) throw new UnsupportedPattern("a broken hexadecimal escape");
    this.at += found.length;
    const code = Number.parseInt(found.replace(/[{}]/g, ""), 16);
    if (code > 0x10ffff) throw new UnsupportedPattern("an escape beyond U+10FFFF");
    return [[code, code]];
  }

  private unicode(): Charset {
    const set = this.hex(/^(?:[0-9a-fA-F]{4}|\{[0-9a-fA-F]{1,6}\})/);
    const high = set[0]![0];
    if (high < 0xd800 || high > 0xdbff || !this.take("\\u")) return set;
    const low = this.hex(/^[dD][c-fC-F][0-9a-fA-F]{2}/)[0]![0];
    const code = (high - 0xd800) * 0x400 + (low - 0xdc00) + 0x10000;
    return [[code, code]];
  }
}

const single = (set: Charset): boolean => set.length === 1 && set[0]![0] === set[0]![1];
