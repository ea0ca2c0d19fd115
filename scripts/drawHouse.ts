// Draws docs/images/house.svg from the table of rooms (src/rooms.ts): `bin/node scripts/drawHouse.ts`. test/rooms.test.ts checks that
// the picture in the repository is what the table says.
//
// A room is drawn one storey above the highest room that it imports; rooms that no other imports are on top. Lines that follow from others
// are left out (if a imports b and b imports c, no line is drawn from a to c), so that the picture shows the order of the house and stays
// readable.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { rooms } from "../src/rooms.ts";

const box = { width: 150, height: 46, gap: 22, storey: 96 };
const margin = 20;

/** The picture as SVG text. */
export function drawHouse(table: typeof rooms = rooms): string {
  const storeys = storeysOf(table);
  const widest = Math.max(...storeys.map((row) => row.length));
  const width = 2 * margin + widest * box.width + (widest - 1) * box.gap;
  const height = 2 * margin + (storeys.length - 1) * box.storey + box.height;
  const places = new Map<string, { x: number; y: number }>();
  for (const [level, row] of storeys.toReversed().entries()) {
    const rowWidth = row.length * box.width + (row.length - 1) * box.gap;
    for (const [index, room] of row.entries())
      places.set(room, {
        x: (width - rowWidth) / 2 + index * (box.width + box.gap),
        y: margin + level * box.storey,
      });
  }
  const lines = directEdges(table).map(([from, to]) => {
    const [a, b] = [places.get(from)!, places.get(to)!];
    const [x1, y1, x2, y2] = [a.x + box.width / 2, a.y + box.height, b.x + box.width / 2, b.y];
    const bend = (y2 - y1) / 2;
    return `  <path d="M${x1} ${y1} C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}"/>`;
  });
  const boxes = [...places].map(([room, { x, y }]) => {
    const [first, second] = inTwoLines(table[room]!.what);
    const middle = x + box.width / 2;
    return [
      `  <rect x="${x}" y="${y}" width="${box.width}" height="${box.height}" rx="6"/>`,
      `  <text class="name" x="${middle}" y="${y + 16}">${room}</text>`,
      `  <text x="${middle}" y="${y + 28}">${first}</text>`,
      ...(second === "" ? [] : [`  <text x="${middle}" y="${y + 39}">${second}</text>`]),
    ].join("\n");
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="The rooms of Lineshaft; lines point from a room to those that it imports">`,
    "<style>",
    "  rect { fill: #fff; stroke: #6b7280 }",
    "  path { fill: none; stroke: #9ca3af }",
    "  text { font: 8.5px system-ui, sans-serif; text-anchor: middle; fill: #4b5563 }",
    "  .name { font: 600 12px system-ui, sans-serif; fill: #111827 }",
    "</style>",
    `<rect width="${width}" height="${height}" style="fill:#f9fafb;stroke:none"/>`,
    ...lines,
    ...boxes,
    "</svg>",
    "",
  ].join("\n");
}

/** Rooms by storey, lowest first; rooms that no other room imports are on top. */
function storeysOf(table: typeof rooms): string[][] {
  const level = (room: string): number => 1 + Math.max(-1, ...table[room]!.imports.map(level));
  const top = Math.max(...Object.keys(table).map(level));
  const isImported = (room: string) => Object.values(table).some(({ imports }) => imports.includes(room));
  const storeys: string[][] = [];
  for (const room of Object.keys(table)) (storeys[isImported(room) ? level(room) : top] ??= []).push(room);
  return storeys;
}

/** Imports that do not follow from others. */
function directEdges(table: typeof rooms): [from: string, to: string][] {
  const reaches = (from: string, to: string): boolean =>
    table[from]!.imports.some((next) => next === to || reaches(next, to));
  return Object.entries(table).flatMap(([from, { imports }]) =>
    imports
      .filter((to) => !imports.some((other) => other !== to && reaches(other, to)))
      .map((to): [string, string] => [from, to]),
  );
}

/** A text in two lines of about equal length. */
function inTwoLines(text: string): [string, string] {
  if (text.length <= 30) return [text, ""];
  const words = text.split(" ");
  const lengthOf = (count: number) => words.slice(0, count).join(" ").length;
  const half = words.findIndex((_, count) => lengthOf(count + 1) >= text.length / 2) + 1;
  return [words.slice(0, half).join(" "), words.slice(half).join(" ")];
}

if (import.meta.main) writeFileSync(join(import.meta.dirname, "../docs/images/house.svg"), drawHouse());
