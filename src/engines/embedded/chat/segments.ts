// Keeps text of messages apart from text of the template. A template's `<|im_end|>` ends a turn; the same characters in a message must not.
// So text in messages that looks like a special token is wrapped in random markers that cannot be guessed. The rendered prompt is cut at
// these markers, and the text between them is tokenised without special tokens.
//
// Only text that looks like a special token is wrapped, each message on its own merits: elsewhere prompts are tokenised in
// one piece, as the model was trained, and adding a turn never changes how earlier ones are cut.

/** Part of a prompt. `special`: tokenise with special tokens recognised; else they are plain characters. */
export interface Segment {
  text: string;
  special: boolean;
}

/** Finds special-token text in a message. */
interface Suspicion {
  found(text: string): boolean;
  /** Rewrites each find. */
  replaced(text: string, by: (find: string) => string): string;
}

const tokenLike = /<\|[^|<>]*\|>|<[^\s<>]{1,64}>|\[\/?[A-Za-z_]{2,32}\]/g;

/** With the model's list of special tokens only those match; without it, every text in the form of one. */
export function suspicionOf(specialTokens: readonly string[] | undefined, alwaysSpecial: readonly string[]): Suspicion {
  const names = [...new Set([...(specialTokens ?? []), ...alwaysSpecial])].filter((name) => name !== "");
  const exact = names
    .toSorted((a, b) => b.length - a.length)
    .map((name) => name.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
  const sources = [...exact, ...(specialTokens ? [] : [tokenLike.source])];
  const form = new RegExp(sources.length > 0 ? sources.join("|") : "(?!)", "g");
  return {
    found: (text) => text.search(form) >= 0,
    replaced: (text, by) => text.replace(form, by),
  };
}

/** `nonce` must be unguessable and hold only letters and digits. */
export class Marker {
  private readonly open: string;
  private readonly close: string;
  private readonly cut: string;
  private readonly any: RegExp;
  private readonly suspicion: Suspicion;

  constructor(nonce: string, suspicion: Suspicion) {
    this.open = `\uE000${nonce}\uE001`;
    this.close = `\uE000${nonce}\uE002`;
    this.cut = `\uE000${nonce}\uE003`;
    this.any = new RegExp(`\uE000${nonce}[\uE001\uE002\uE003]`, "g");
    this.suspicion = suspicion;
  }

  /** Wraps suspicious text; white space around it stays outside, so that a template that trims does the same as without. */
  readonly wrap = (text: string): string => {
    if (!this.suspicion.found(text)) return text;
    const core = text.trim();
    const start = text.indexOf(core);
    return text.slice(0, start) + this.open + core + this.close + text.slice(start + core.length);
  };

  /** Puts a cut behind the first character of each find, which disturbs a template less than wrapping. */
  readonly split = (text: string): string =>
    this.suspicion.replaced(text, (find) => {
      const first = String.fromCodePoint(find.codePointAt(0)!);
      return first + this.cut + find.slice(first.length);
    });

  /** Breaks each find permanently, with a zero-width space. */
  readonly broken = (text: string): string =>
    this.suspicion.replaced(text, (find) => `${find.slice(0, 1)}\u200b${find.slice(1)}`);

  strip(rendered: string): string {
    return rendered.replace(this.any, "");
  }

  /** Segments of a text rendered with `wrap` or `split`; undefined when its markers do not pair. */
  segments(rendered: string): Segment[] | undefined {
    const result: Segment[] = [];
    let inside = false;
    let at = 0;
    const add = (text: string): void => {
      if (text !== "") result.push({ text, special: !inside });
    };
    for (const match of rendered.matchAll(this.any)) {
      add(rendered.slice(at, match.index));
      at = match.index + match[0].length;
      if (match[0] === this.cut) continue;
      if ((match[0] === this.open) === inside) return undefined;
      inside = !inside;
    }
    add(rendered.slice(at));
    return inside ? undefined : result;
  }
}
