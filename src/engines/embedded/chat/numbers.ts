// Numbers as grammars. Bounds become digit grammars: the text is compared with the bound digit by digit, and is "tight" as long as it
// equals the bound so far. Every number is limited in digits, so that a small model cannot generate digits without end.
//
// Decimal text and the double it is read as agree in order as long as both have at most 15 significant digits; with more,
// a text beside an exclusive bound may be rounded onto it. Hence at most 15 digits near an exclusive bound.

import { CannotExpress } from "./errors.ts";

export interface NumberBounds {
  min?: number;
  max?: number;
  exclusiveMin?: number;
  exclusiveMax?: number;
  integer: boolean;
}

const maxIntegerDigits = 16;
const freeInteger = `("0" | [1-9] [0-9]{0,${maxIntegerDigits - 1}})`;
const exponent = `[eE] [-+]? ("1" [0-9]{0,2} | "2" [0-9]{0,2} | [3-9] [0-9]? | "0")`;

/** GBNF expression of JSON numbers within the bounds; undefined when no number is within them. Throws CannotExpress. */
export function numberGrammar(bounds: NumberBounds): string | undefined {
  const { low, high } = tightest(bounds);
  if (!low && !high) {
    if (bounds.integer) return `"-"? ${freeInteger}`;
    // Bounds wider than every number without an exponent need no comparison of digits; numbers with an exponent are then left out.
    const bounded = [bounds.min, bounds.max, bounds.exclusiveMin, bounds.exclusiveMax].some(
      (bound) => bound !== undefined,
    );
    if (bounded) return `"-"? ${freeInteger} ("." [0-9]{1,17})?`;
    return `"-"? (${freeInteger} ("." [0-9]{1,17})? | [1-9] ("." [0-9]{1,17})? ${exponent})`;
  }
  const options = [
    positive(low && low.value < 0 ? undefined : low, high, bounds.integer, low !== undefined && low.value >= 0),
    negative(low, high, bounds.integer),
  ].filter((option) => option !== undefined);
  return options.length === 0 ? undefined : options.join(" | ");
}

interface Bound {
  value: number;
  exclusive: boolean;
}

/** The stricter of the inclusive and the exclusive bound at each end; whole numbers for integers. */
function tightest(bounds: NumberBounds): { low?: Bound; high?: Bound } {
  const pick = (inclusive: number | undefined, exclusive: number | undefined, sign: 1 | -1): Bound | undefined => {
    if (exclusive !== undefined && (inclusive === undefined || sign * exclusive >= sign * inclusive)) {
      return { value: exclusive, exclusive: true };
    }
    return inclusive === undefined ? undefined : { value: inclusive, exclusive: false };
  };
  let low = pick(bounds.min, bounds.exclusiveMin, 1);
  let high = pick(bounds.max, bounds.exclusiveMax, -1);
  if (bounds.integer) {
    if (low) low = { value: low.exclusive ? Math.floor(low.value) + 1 : Math.ceil(low.value), exclusive: false };
    if (high) high = { value: high.exclusive ? Math.ceil(high.value) - 1 : Math.floor(high.value), exclusive: false };
  }
  const limit = 10 ** maxIntegerDigits;
  if ((low && low.value >= limit) || (high && high.value <= -limit)) {
    throw new CannotExpress(
      "unsupported",
      `numbers of more than ${maxIntegerDigits} digits before the point are not produced`,
    );
  }
  if (low && low.value <= -limit) low = undefined;
  if (high && high.value >= limit) high = undefined;
  return { low, high };
}

function positive(
  low: Bound | undefined,
  high: Bound | undefined,
  integer: boolean,
  fromLow: boolean,
): string | undefined {
  if (high && high.value < 0) return undefined;
  return magnitudes(fromLow ? low! : { value: 0, exclusive: false }, high, integer);
}

function negative(low: Bound | undefined, high: Bound | undefined, integer: boolean): string | undefined {
  if (low && low.value >= 0) return undefined;
  // Mirrored at zero; `-0` is left out.
  const from =
    high && high.value < 0 ? { value: -high.value, exclusive: high.exclusive } : { value: 0, exclusive: true };
  const to = low && { value: -low.value, exclusive: low.exclusive };
  const inside = magnitudes(from, to, integer);
  return inside === undefined ? undefined : `"-" (${inside})`;
}

interface Decimal {
  whole: string;
  fraction: string;
}

/** Texts of the numbers from `low` (not negative) to `high`, by the number of digits before the point. */
function magnitudes(low: Bound, high: Bound | undefined, integer: boolean): string | undefined {
  const from = decimalOf(low.value);
  const to = high && decimalOf(high.value);
  for (const [bound, decimal] of [[low, from] as const, [high, to] as const]) {
    const digits = decimal ? (decimal.whole + decimal.fraction).replace(/^0+|0+$/g, "").length : 0;
    if (bound?.exclusive && digits > 15)
      throw new CannotExpress("unsupported", `the exclusive bound ${bound.value} has more than 15 digits`);
  }
  const widest = to ? to.whole.length : maxIntegerDigits;
  const placesAt = (width: number): number => {
    if (integer) return 0;
    const exact = (high?.exclusive ?? false) || (low.exclusive && low.value !== 0 && width === from.whole.length);
    return exact ? Math.max(0, 15 - width) : Math.max(16, from.fraction.length, to?.fraction.length ?? 0);
  };
  const walk = (width: number): string | undefined => {
    const tightLow = width === from.whole.length;
    const tightHigh = to !== undefined && width === widest;
    return new DigitWalk({
      width,
      low: tightLow ? from : { whole: `1${"0".repeat(width - 1)}`, fraction: "" },
      high: tightHigh ? to : { whole: "9".repeat(width), fraction: "" },
      lowExclusive: tightLow && low.exclusive,
      highExclusive: tightHigh && high!.exclusive,
      places: placesAt(width),
    }).whole(0, true, tightHigh);
  };
  const first = from.whole.length;
  const options: (string | undefined)[] = first <= widest ? [walk(first)] : [];
  // Numbers with more digits than the lower bound and fewer than the upper one need no comparison.
  const lastFree = to ? widest - 1 : widest;
  const free = (from: number, to: number, places: number): void => {
    if (from > to) return;
    options.push(`[1-9] [0-9]{${from - 1},${to - 1}}${places > 0 ? ` ("." [0-9]{1,${places}})?` : ""}`);
  };
  if (high?.exclusive) {
    // Only numbers with the most digits could be rounded onto the bound.
    free(first + 1, lastFree - 1, integer ? 0 : 16);
    if (lastFree > first) free(lastFree, lastFree, placesAt(lastFree));
  } else free(first + 1, lastFree, placesAt(lastFree));
  if (to && widest > first) options.push(walk(widest));
  const open = options.filter((option) => option !== undefined);
  return open.length === 0 ? undefined : open.join(" | ");
}

/** The digits of a not negative double, without exponent. */
function decimalOf(value: number): Decimal {
  const [mantissa = "0", power = "0"] = String(value).split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const shift = Number(power);
  if (shift === 0) return { whole, fraction };
  if (shift > 0) {
    const digits = fraction.padEnd(shift, "0");
    return { whole: whole + digits.slice(0, shift), fraction: digits.slice(shift) };
  }
  if (shift < -15) throw new CannotExpress("unsupported", `the bound ${value} needs more than 16 decimals`);
  return { whole: "0", fraction: "0".repeat(-shift - 1) + whole + fraction };
}

interface Walk {
  /** Digits before the point. */
  width: number;
  low: Decimal;
  high: Decimal;
  lowExclusive: boolean;
  highExclusive: boolean;
  /** Most digits after the point; 0 for integers. */
  places: number;
}

class DigitWalk {
  private readonly walk: Walk;

  constructor(walk: Walk) {
    this.walk = walk;
  }

  /** The grammar of the digits after the first `at` digits before the point; undefined: no number within the bounds begins so. */
  whole(at: number, tightLow: boolean, tightHigh: boolean): string | undefined {
    const { width, low, high, lowExclusive } = this.walk;
    if (at === width) return this.fraction(0, tightLow, tightHigh);
    const boundLow = tightLow && (lowExclusive || /[1-9]/.test(low.whole.slice(at) + low.fraction));
    if (!boundLow && !tightHigh) return joinParts(`[0-9]{${width - at}}`, this.fraction(0, false, false));
    const bounds = [Number(low.whole[at]), Number(high.whole[at])] as const;
    return step(bounds, boundLow, tightHigh, (nextLow, nextHigh) => this.whole(at + 1, nextLow, nextHigh));
  }

  private fraction(at: number, tightLow: boolean, tightHigh: boolean): string | undefined {
    const { low, high, places, lowExclusive, highExclusive } = this.walk;
    const atLow = tightLow && !/[1-9]/.test(low.fraction.slice(at));
    const atHigh = tightHigh && !/[1-9]/.test(high.fraction.slice(at));
    // Equal to an inclusive lower bound: every continuation is within it. Equal to the upper bound: only zeros may follow.
    const boundLow = tightLow && !(atLow && !lowExclusive);
    if (atHigh) {
      if (highExclusive || boundLow) return undefined;
      return at === 0 && places > 0 ? `".0"?` : "";
    }
    let more: string | undefined;
    if (at < places) {
      if (!boundLow && !tightHigh) return at === 0 ? `("." [0-9]{1,${places}})?` : `[0-9]{0,${places - at}}`;
      if (atLow && lowExclusive && !tightHigh) more = aboveZero(places - at, low);
      else {
        const bounds = [Number(low.fraction[at] ?? 0), Number(high.fraction[at] ?? 0)] as const;
        more = step(bounds, boundLow, tightHigh, (nextLow, nextHigh) => this.fraction(at + 1, nextLow, nextHigh));
      }
      if (at === 0 && more !== undefined) more = `"." (${more})`;
    }
    if (more === undefined) return boundLow ? undefined : "";
    return boundLow ? `(${more})` : `(${more})?`;
  }
}

/** At most `places` digits that are not all zero. Next to zero itself doubles are dense, so more digits may follow there. */
function aboveZero(places: number, low: Decimal): string {
  if (!/[1-9]/.test(low.whole + low.fraction)) return '"0"{0,7} [1-9] [0-9]{0,15}';
  const options = Array.from({ length: Math.min(places, 4) }, (_, zeros) =>
    `${zeros > 0 ? `"${"0".repeat(zeros)}" ` : ""}[1-9] [0-9]{0,${places - 1 - zeros}}`.replace(" [0-9]{0,0}", ""),
  );
  return options.join(" | ");
}

/** One digit between the bounds that are still tight, and the grammar of the digits after it. */
function step(
  [low, high]: readonly [number, number],
  tightLow: boolean,
  tightHigh: boolean,
  next: (tightLow: boolean, tightHigh: boolean) => string | undefined,
): string | undefined {
  const from = tightLow ? low : 0;
  const to = tightHigh ? high : 9;
  const options: (string | undefined)[] = [];
  if (tightLow && tightHigh && from === to) options.push(joinParts(`"${from}"`, next(true, true)));
  else {
    const first = tightLow ? from + 1 : from;
    const last = tightHigh ? to - 1 : to;
    if (from > to) return undefined;
    if (tightLow) options.push(joinParts(`"${from}"`, next(true, false)));
    if (first <= last)
      options.push(joinParts(first === last ? `"${first}"` : `[${first}-${last}]`, next(false, false)));
    if (tightHigh) options.push(joinParts(`"${to}"`, next(false, true)));
  }
  const open = options.filter((option) => option !== undefined);
  if (open.length === 0) return undefined;
  return open.length === 1 ? open[0]! : `(${open.join(" | ")})`;
}

const joinParts = (digit: string, rest: string | undefined): string | undefined =>
  rest === undefined ? undefined : `${digit} ${rest}`.trimEnd();
