import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopStrings, TokenText } from "./text.ts";

/** Tokens that are bytes: every character beyond ASCII is spread over several. */
const asBytes = (tokens: readonly number[]) => Buffer.from(tokens).toString("utf8");

function feed(stops: string[], pieces: string[]): { text: string; stopped: boolean } {
  const matcher = new StopStrings(stops);
  let text = "";
  for (const piece of pieces) {
    const step = matcher.push(piece);
    text += step.text;
    if (step.stopped) return { text, stopped: true };
  }
  return { text: text + matcher.flush(), stopped: false };
}

describe("token text", () => {
  it("passes on whole characters only, and all of them", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 30 }), (text) => {
        fc.pre(!text.includes("\u{FFFD}"));
        const out = new TokenText(asBytes);
        let got = "";
        for (const byte of Buffer.from(text)) {
          const piece = out.push(byte);
          expect(piece).not.toContain("\u{FFFD}");
          got += piece;
        }
        expect(got + out.flush()).toBe(text);
        expect(out.whole).toBe(text);
      }),
    );
  });

  it("finds the token at which a place in the text begins", () => {
    const words = ["Hel", "lo", " <tool", "_call", ">x"];
    const out = new TokenText((tokens) => tokens.map((token) => words[token]).join(""));
    for (const token of words.keys()) out.push(token);
    expect(out.cutAt("Hello".length)).toEqual({ keep: 2, rest: "" });
    expect(out.cutAt("Hello <tool_call>".length)).toEqual({ keep: 4, rest: ">" });
    expect(out.cutAt(1)).toEqual({ keep: 0, rest: "H" });
  });

  it("does not cut inside a character", () => {
    const out = new TokenText(asBytes);
    for (const byte of Buffer.from("aé")) out.push(byte);
    expect(out.cutAt(1)).toEqual({ keep: 1, rest: "" });
    expect(out.cutAt(2)).toEqual({ keep: 3, rest: "" });
  });
});

describe("stop strings", () => {
  it.each([
    [["STOP"], ["a S", "TO", "P b"], "a ", true],
    [["\n\n"], ["one\n", "two\n", "\n"], "one\ntwo", true],
    [["ab", "b"], ["xa", "b"], "x", true],
    [["abc"], ["ab", "ab", "d"], "ababd", false],
    [[], ["anything"], "anything", false],
  ])("%j in %j", (stops, pieces, text, stopped) => {
    expect(feed(stops, pieces)).toEqual({ text, stopped });
  });

  it("find the same whatever the pieces, and pass on no part of a stop string", () => {
    const alphabet = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(
        fc.array(alphabet, { maxLength: 30 }),
        fc.array(alphabet, { minLength: 1, maxLength: 4 }),
        (pieces, stops) => {
          const text = pieces.join("");
          const firsts = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
          const got = feed(stops, pieces);
          expect(got.stopped).toBe(firsts.length > 0);
          if (!got.stopped) expect(got.text).toBe(text);
          else {
            expect(text.startsWith(got.text)).toBe(true);
            expect(stops.some((stop) => got.text.includes(stop))).toBe(false);
          }
        },
      ),
    );
  });
});
