// Line charts as plain SVG text: no script, no external font, colours by CSS variables so that light and dark both work.
// One chart shows several series over one axis; the reader gets the values by `<title>` on each point and by the tables.

interface Series {
  name: string;
  points: readonly { x: number; y: number }[];
}

export interface ChartOptions {
  title: string;
  xLabel: string;
  yLabel: string;
  /** Logarithmic y axis, when values span more than this factor (all positive); never by default. */
  logFrom?: number;
  format?: (y: number) => string;
  /** A horizontal line with a name, for example an SLO. */
  mark?: { y: number; name: string };
}

const width = 460;
const height = 270;
const left = 62;
const right = 14;
const top = 14;
const bottom = 44;
const hues = 9;

/** A chart as an `<svg>` element. Points that are not finite are left out; a chart without points says so. */
export function lineChart(series: readonly Series[], options: ChartOptions): string {
  const all = series
    .flatMap((one) => one.points)
    .filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y));
  if (all.length === 0) return `<p class="none">${escape(options.title)}: nothing to show.</p>`;
  const ys = [...all.map((point) => point.y), ...(options.mark === undefined ? [] : [options.mark.y])];
  const positive = ys.every((y) => y > 0);
  const low = Math.min(...ys);
  const high = Math.max(...ys);
  const log = options.logFrom !== undefined && positive && high / low > options.logFrom;
  const yTicks = log ? logTicks(low, high) : linearTicks(Math.min(0, low), high);
  const yFrom = log ? Math.min(low, yTicks[0] ?? low) : yTicks[0]!;
  const yTo = log ? Math.max(high, yTicks[yTicks.length - 1] ?? high) : yTicks[yTicks.length - 1]!;
  const xs = [...new Set(all.map((point) => point.x))].toSorted((a, b) => a - b);
  const xFrom = xs[0]!;
  const xTo = xs[xs.length - 1]!;
  const px = (x: number): number =>
    xTo === xFrom ? (left + width - right) / 2 : left + ((x - xFrom) / (xTo - xFrom)) * (width - left - right);
  const scale = (y: number): number =>
    log ? Math.log(y / yFrom) / Math.log(yTo / yFrom) : (y - yFrom) / (yTo - yFrom || 1);
  const py = (y: number): number => height - bottom - scale(y) * (height - top - bottom);
  const format = options.format ?? compact;
  const parts: string[] = [];
  for (const tick of yTicks) {
    const y = py(tick).toFixed(1);
    parts.push(`<line class="grid" x1="${left}" x2="${width - right}" y1="${y}" y2="${y}"/>`);
    parts.push(
      `<text class="tick" x="${left - 6}" y="${y}" dy="0.32em" text-anchor="end">${escape(format(tick))}</text>`,
    );
  }
  for (const x of thin(xs, 8)) {
    parts.push(
      `<text class="tick" x="${px(x).toFixed(1)}" y="${height - bottom + 16}" text-anchor="middle">${escape(compact(x))}</text>`,
    );
  }
  if (options.mark !== undefined) {
    const y = py(options.mark.y).toFixed(1);
    parts.push(`<line class="mark" x1="${left}" x2="${width - right}" y1="${y}" y2="${y}"/>`);
    parts.push(
      `<text class="marked" x="${width - right}" y="${y}" dy="-4" text-anchor="end">${escape(options.mark.name)}</text>`,
    );
  }
  series.forEach((one, i) => {
    const points = one.points.filter((point) => Number.isFinite(point.y));
    const path = points
      .map((point, n) => `${n === 0 ? "M" : "L"}${px(point.x).toFixed(1)} ${py(point.y).toFixed(1)}`)
      .join("");
    parts.push(`<g class="series s${i % hues}"><path d="${path}"/>`);
    for (const point of points) {
      const label = `${one.name}: ${format(point.y)} at ${compact(point.x)}`;
      parts.push(
        `<circle cx="${px(point.x).toFixed(1)}" cy="${py(point.y).toFixed(1)}" r="3"><title>${escape(label)}</title></circle>`,
      );
    }
    parts.push("</g>");
  });
  const middle = ((top + height - bottom) / 2).toFixed(0);
  parts.push(
    `<text class="label" x="${((left + width - right) / 2).toFixed(0)}" y="${height - 8}" text-anchor="middle">${escape(options.xLabel)}</text>`,
  );
  parts.push(
    `<text class="label" transform="translate(12 ${middle}) rotate(-90)" text-anchor="middle">${escape(options.yLabel)}${log ? " (log)" : ""}</text>`,
  );
  return `<figure><figcaption>${escape(options.title)}</figcaption><svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(options.title)}">${parts.join("")}</svg></figure>`;
}

/** Names and colours of the series, once for all charts of a page. */
export function legend(names: readonly string[]): string {
  const items = names.map((name, i) => `<li class="s${i % hues}"><span class="swatch"></span>${escape(name)}</li>`);
  return `<ul class="legend">${items.join("")}</ul>`;
}

/** Text safe inside elements and quoted attributes. */
export function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** A number in at most 4 significant characters and a unit prefix. */
export function compact(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e9) return `${trim(value / 1e9)}G`;
  if (size >= 1e6) return `${trim(value / 1e6)}M`;
  if (size >= 1e4) return `${trim(value / 1e3)}k`;
  return trim(value);
}

function trim(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return String(Number(value.toFixed(digits)));
}

function linearTicks(from: number, to: number): number[] {
  const span = to - from || Math.abs(to) || 1;
  const rough = span / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => span / s <= 6) ?? 10 * power;
  const ticks: number[] = [];
  for (let n = Math.floor(from / step); n * step < to + step * 0.999; n++)
    ticks.push(Number((n * step).toPrecision(12)));
  return ticks;
}

/** 1, 2, 5 of each decade inside the range, thinned to decades when there are many. */
function logTicks(from: number, to: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.ceil(Math.log10(to)); power++) {
    for (const digit of [1, 2, 5]) ticks.push(digit * 10 ** power);
  }
  const inside = ticks.filter((tick) => tick >= from / 1.2 && tick <= to * 1.2);
  const decades = inside.filter((tick) => Number.isInteger(Number(Math.log10(tick).toFixed(9))));
  return inside.length > 7 && decades.length >= 2 ? decades : inside;
}

function thin(values: readonly number[], most: number): number[] {
  const every = Math.ceil(values.length / most);
  return values.filter((_, i) => i % every === 0);
}
