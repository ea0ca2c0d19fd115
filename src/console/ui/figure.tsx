// A headline figure: its name, which opens the definition, its value with a unit, the change against the period before, and a sparkline
// of the period.
import { Popover } from "@base-ui/react/popover";
import type { ReactNode } from "react";
import { definitions, type Figures } from "../definitions.ts";
import { change, moneyFull, moneyParts } from "../format.ts";
import { ArrowDown, ArrowUp } from "./icons.tsx";
import "./figure.css";

/** A figure's name as a button, which opens its meaning, its formula and the request that answers it. */
export function FigureName({ of, label }: { of: Figures; label?: string }) {
  const definition = definitions[of];
  return (
    <Popover.Root>
      <Popover.Trigger className="figure-name">{label ?? definition.name}</Popover.Trigger>
      <Popover.Portal>
        <Popover.Positioner className="positioner" sideOffset={6} align="start" collisionPadding={12}>
          <Popover.Popup className="popup definition">
            <Popover.Title render={<h2 />}>{definition.name}</Popover.Title>
            <Popover.Description>{definition.meaning}</Popover.Description>
            <dl>
              <dt>Computed</dt>
              <dd>{definition.formula}</dd>
              <dt>Asked with</dt>
              <dd className="mono">{definition.query}</dd>
            </dl>
          </Popover.Popup>
        </Popover.Positioner>
      </Popover.Portal>
    </Popover.Root>
  );
}

/** `good` is the direction that is welcome. Without it the change has no colour. */
export function Delta({
  now,
  before,
  good,
  against,
}: {
  now: number;
  before: number;
  good?: "up" | "down";
  against: string;
}) {
  const delta = change(now, before);
  if (delta === null)
    return (
      <span className="delta" data-tip={`Nothing in ${against}`}>
        new
      </span>
    );
  const tone = good === undefined || delta.direction === "same" ? "" : delta.direction === good ? " good" : " bad";
  const spoken = delta.direction === "same" ? "unchanged" : delta.direction === "up" ? "more" : "less";
  return (
    <span className={`delta num${tone}`} data-tip={`Against ${against}`}>
      {delta.direction === "up" ? <ArrowUp /> : delta.direction === "down" ? <ArrowDown /> : null}
      {delta.text}
      <span className="spoken">
        {" "}
        {spoken} than in {against}
      </span>
    </span>
  );
}

export function Figure(props: {
  of: Figures;
  label?: string;
  value: ReactNode;
  unit?: string;
  tip?: string;
  delta?: ReactNode;
  note?: ReactNode;
  spark?: ReactNode;
}) {
  return (
    <div className="figure">
      <div className="figure-head">
        <FigureName of={props.of} {...(props.label === undefined ? {} : { label: props.label })} />
        {props.delta}
      </div>
      <div className="figure-row">
        <div className="figure-value num" data-tip={props.tip}>
          {props.value}
          {props.unit === undefined ? null : <span className="unit">{props.unit}</span>}
        </div>
        {props.spark}
      </div>
      {props.note === undefined ? null : <div className="figure-note">{props.note}</div>}
    </div>
  );
}

/** Properties of a `Figure` for an amount of money, with the full amount on hover. */
export function moneyFigure(nano: string, currency: string): { value: string; unit: string; tip: string } {
  const [value, unit] = moneyParts(nano, currency);
  return { value, unit, tip: `${moneyFull(nano)} ${currency}` };
}

/** The shape of a series beside its headline, without axes. */
export function Sparkline({ values, tone = "var(--text-3)" }: { values: number[]; tone?: string }) {
  const width = 84;
  const height = 24;
  const top = Math.max(...values, 0);
  if (values.length < 2 || top === 0) return null;
  const step = width / (values.length - 1);
  const points = values.map((value, index) => [index * step, height - 2 - (value / top) * (height - 4)] as const);
  const line = points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  return (
    <svg
      className="sparkline"
      width={width}
      height={height}
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <polygon points={`0,${height} ${line} ${width},${height}`} fill={tone} opacity="0.12" />
      <polyline
        points={line}
        fill="none"
        stroke={tone}
        strokeWidth="1.25"
        vectorEffect="non-scaling-stroke"
        strokeLinejoin="round"
      />
    </svg>
  );
}
