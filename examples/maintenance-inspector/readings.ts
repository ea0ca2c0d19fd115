// Readings of milling machines by the published rules of the AI4I 2020 predictive maintenance data set (S. Matzka, CC BY 4.0):
// drawn from a seed, or read from the real CSV. The rules themselves are exact for heat, power and overstrain on all 10,000
// rows of the data set (115, 95 and 98 failures, none missed); tool wear fails at a random minute between 200 and 240 there,
// so here its limit is the 200 minutes from which the tool is due.
import { readFileSync } from "node:fs";

export type FailureMode = "heat_dissipation" | "power" | "overstrain" | "tool_wear" | "none";
export const failureModes: FailureMode[] = ["heat_dissipation", "power", "overstrain", "tool_wear", "none"];

/** Product quality: low, medium, high; decides how much strain a tool bears. */
export type Variant = "L" | "M" | "H";

export interface Readings {
  machine: string;
  variant: Variant;
  air_temperature_k: number;
  process_temperature_k: number;
  rotational_speed_rpm: number;
  torque_nm: number;
  tool_wear_min: number;
}

/** Largest product of wear and torque, in minutes times newton metres. */
const strainLimits: Record<Variant, number> = { L: 11_000, M: 12_000, H: 13_000 };

/** Mechanical power in watts. */
export function powerOf(readings: Readings): number {
  return (readings.torque_nm * readings.rotational_speed_rpm * 2 * Math.PI) / 60;
}

/** A limit that the readings exceed, with the sentence an operator's panel shows for it. */
export interface Exceeded {
  mode: Exclude<FailureMode, "none">;
  text: string;
}

/** Every limit that is exceeded, in the order of the data set's columns. */
export function exceededLimits(readings: Readings): Exceeded[] {
  const exceeded: Exceeded[] = [];
  // As it comes out of the subtraction: rounded to tenths, 12 of the data set's 115 labels would be missed.
  const difference = readings.process_temperature_k - readings.air_temperature_k;
  const power = powerOf(readings);
  const strain = readings.tool_wear_min * readings.torque_nm;
  if (readings.tool_wear_min >= 200)
    exceeded.push({ mode: "tool_wear", text: `tool wear limit, ${readings.tool_wear_min} min is 200 min or more` });
  if (difference < 8.6 && readings.rotational_speed_rpm < 1380)
    exceeded.push({
      mode: "heat_dissipation",
      text: `heat dissipation limit, ${difference.toFixed(1)} K is under 8.6 K at ${readings.rotational_speed_rpm} rpm`,
    });
  if (power < 3500 || power > 9000)
    exceeded.push({ mode: "power", text: `power limit, ${power.toFixed(0)} W is outside 3500 to 9000 W` });
  if (strain > strainLimits[readings.variant])
    exceeded.push({
      mode: "overstrain",
      text: `overstrain limit, ${strain.toFixed(0)} min Nm is over ${strainLimits[readings.variant]} min Nm`,
    });
  return exceeded;
}

/** Mulberry32: numbers in [0, 1) from a 32-bit seed. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

function normal(random: () => number, mean: number, deviation: number): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random()));
  return mean + deviation * radius * Math.cos(2 * Math.PI * random());
}

const round = (value: number, digits: number) => Number(value.toFixed(digits));

/** One draw from the published distributions. */
function draw(machine: string, random: () => number): Readings {
  const chance = random();
  const air = normal(random, 300, 2);
  const torque = Math.max(3.8, normal(random, 40, 10));
  return {
    machine,
    variant: chance < 0.5 ? "L" : chance < 0.8 ? "M" : "H",
    air_temperature_k: round(air, 1),
    process_temperature_k: round(air + normal(random, 10, 1), 1),
    // From a power of 2,860 W plus noise, as published; the floor and the spread are those of the data.
    rotational_speed_rpm: Math.round(Math.max(1168, normal(random, 1540, 180) - (torque - 40) * 9)),
    torque_nm: round(torque, 1),
    tool_wear_min: Math.floor(random() * 250),
  };
}

/**
 * `count` machines, M-001 onwards, whose failure modes take turns; each has exactly its one mode's limit exceeded.
 * The same seed gives the same machines.
 */
export function generateMachines(count: number, seed: number): Readings[] {
  const random = randomFrom(seed);
  return Array.from({ length: count }, (_, index) => {
    const machine = `M-${String(index + 1).padStart(3, "0")}`;
    const wanted = failureModes[Math.floor(random() * failureModes.length)]!;
    // A mode is rare (about one draw in a hundred), never so rare that 100,000 draws miss it.
    for (let tries = 0; tries < 100_000; tries++) {
      const readings = draw(machine, random);
      const modes = exceededLimits(readings).map((limit) => limit.mode);
      if (wanted === "none" ? modes.length === 0 : modes.length === 1 && modes[0] === wanted) return readings;
    }
    throw new Error(`No readings with failure mode ${wanted} were drawn.`);
  });
}

/** Rows of the real data set (ai4i2020.csv) as readings, machine by product id; the header's names are checked. */
export function readCsv(path: string): Readings[] {
  const [header, ...rows] = readFileSync(path, "utf8").trim().split(/\r?\n/);
  const columns = (header ?? "").replace(/^\uFEFF/, "").split(",");
  const place = (name: string) => {
    const index = columns.indexOf(name);
    if (index < 0) throw new Error(`${path} has no column '${name}': it is not the AI4I 2020 data set.`);
    return index;
  };
  const [product, type, air, process, speed, torque, wear] = [
    ...["Product ID", "Type", "Air temperature [K]", "Process temperature [K]"],
    ...["Rotational speed [rpm]", "Torque [Nm]", "Tool wear [min]"],
  ].map(place) as [number, number, number, number, number, number, number];
  return rows.map((row) => {
    const cells = row.split(",");
    return {
      machine: cells[product]!,
      variant: cells[type] as Variant,
      air_temperature_k: Number(cells[air]),
      process_temperature_k: Number(cells[process]),
      rotational_speed_rpm: Number(cells[speed]),
      torque_nm: Number(cells[torque]),
      tool_wear_min: Number(cells[wear]),
    };
  });
}
