// Time series with uPlot: stacked bars with axes and units, and a crosshair that all charts of a group share. Above the plot stand the
// values under the crosshair, or the sums of the period. An empty period says so.
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useTheme } from "./media.ts";
import { FigureName } from "./figure.tsx";
import type { Figures } from "../definitions.ts";
import "./chart.css";

interface Series {
  label: string;
  /** A custom property of tokens.css with its dashes: `--model`. */
  tone: string;
  values: number[];
}

interface ChartProps {
  of: Figures;
  title: string;
  unit: string;
  /** Unix seconds, equal steps, oldest first. */
  times: number[];
  series: Series[];
  group: string;
  /** Axis and readings, without the unit. */
  format: (value: number) => string;
  height?: number;
}

const stackOf = (series: Series[]): number[][] => {
  const sums: number[][] = [];
  for (const one of series) sums.push(one.values.map((value, index) => value + (sums.at(-1)?.[index] ?? 0)));
  return sums;
};

export function TimeChart({ of, title, unit, times, series, group, format, height = 168 }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const [at, setAt] = useState<number | null>(null);
  const { dark } = useTheme();
  const stacked = useMemo(() => stackOf(series), [series]);
  const empty = !series.some((one) => one.values.some((value) => value > 0));
  const shape = series.map((one) => one.tone).join();

  useEffect(() => {
    if (box.current === null || empty) return;
    const node = box.current;
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => resolved(node, `var(${name})`);
    const font = `11px ${style.getPropertyValue("--sans")}`;
    const step = (times[1] ?? 0) - (times[0] ?? 0);
    const bars = uPlot.paths.bars!({ size: [0.72, 40], align: 1, gap: 0 });
    const chart = new uPlot(
      {
        width: node.clientWidth,
        height,
        padding: [10, 14, 0, 0],
        legend: { show: false },
        cursor: {
          sync: { key: group, setSeries: false },
          points: { show: false },
          y: false,
          drag: { x: false, y: false },
        },
        scales: {
          x: { time: true, range: (_u, min, max) => [min, max + step] },
          y: { range: (_u, _min, max) => [0, max === 0 ? 1 : max * 1.08] },
        },
        axes: [
          {
            stroke: colour("--text-3"),
            font,
            grid: { show: false },
            ticks: { stroke: colour("--line"), size: 4, width: 1 },
            size: 26,
            gap: 4,
            space: 72,
            values: timeTicks,
          },
          {
            stroke: colour("--text-3"),
            font,
            size: (_u, values) => 12 + Math.max(28, ...(values ?? []).map((value) => value.length * 6.4)),
            gap: 6,
            space: 34,
            grid: { stroke: colour("--line"), width: 1 },
            ticks: { show: false },
            values: (_u, ticks) => ticks.map((tick) => format(tick)),
          },
        ],
        series: [
          {},
          // The sum of all parts is drawn first, and smaller sums over it.
          ...series.toReversed().map((one) => ({
            label: one.label,
            fill: colour(one.tone),
            stroke: colour(one.tone),
            width: 0,
            paths: bars,
            points: { show: false },
          })),
        ],
        hooks: {
          setCursor: [(u) => setAt(u.cursor.idx ?? null)],
        },
      },
      [times, ...stacked.toReversed()],
      node,
    );
    plot.current = chart;
    const resize = new ResizeObserver(() => chart.setSize({ width: node.clientWidth, height }));
    resize.observe(node);
    return () => {
      resize.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [dark, empty, shape, height]);

  useEffect(() => plot.current?.setData([times, ...stacked.toReversed()]), [times, stacked]);

  const reading = (values: number[]) =>
    at === null ? values.reduce((sum, value) => sum + value, 0) : (values[at] ?? 0);
  const total = series.reduce((sum, one) => sum + reading(one.values), 0);
  const moment = at === null || times[at] === undefined ? undefined : new Date(times[at] * 1000);
  return (
    <section className="panel chart" aria-label={title}>
      <div className="chart-head">
        <FigureName of={of} label={title} />
        {unit === title.toLowerCase() ? null : <span className="unit">{unit}</span>}
        <span className="chart-at num">{moment === undefined ? "sum of the period" : atFormat.format(moment)}</span>
      </div>
      <ul className="chart-legend">
        {series.map((one) => (
          <li key={one.label}>
            <i style={{ background: `var(${one.tone})` }} />
            {one.label}
            <b className="num">{format(reading(one.values))}</b>
          </li>
        ))}
        {series.length > 1 ? (
          <li>
            Total<b className="num">{format(total)}</b>
          </li>
        ) : null}
      </ul>
      {empty ? (
        <div className="chart-empty" style={{ height }}>
          Nothing in this period
        </div>
      ) : (
        <div
          ref={box}
          className="chart-plot"
          style={{ height }}
          role="img"
          aria-label={`${title}, ${unit}: ${series.map((one) => `${one.label} ${format(one.values.reduce((a, b) => a + b, 0))}`).join(", ")} in the period`}
        />
      )}
    </section>
  );
}

const atFormat = new Intl.DateTimeFormat("en-GB", {
  weekday: "short",
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const hourFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

function timeTicks(_u: uPlot, ticks: number[], _axis: number, _space: number, increment: number): string[] {
  return ticks.map((tick) => {
    const time = new Date(tick * 1000);
    const midnight = time.getHours() === 0 && time.getMinutes() === 0;
    return increment >= 86_400 || midnight ? dayFormat.format(time) : hourFormat.format(time);
  });
}

/** The colour of a custom property, computed by the browser on an element, because a canvas does not know light-dark() and var(). */
function resolved(parent: HTMLElement, value: string): string {
  const probe = document.createElement("i");
  probe.style.color = value;
  parent.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
