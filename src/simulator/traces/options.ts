// Options of a load, from the command line, from code, or from `workload` in the description of a fleet or a plan.
import { z } from "zod";
import { SimulatorError } from "../types.ts";

const traceFormats = ["mooncake", "agent-sessions", "dynamo", "azure", "servegen", "calls"] as const;
export type TraceFormat = (typeof traceFormats)[number];

/** Every option of a load, checked. Unknown keys are errors. */
export const openOptionsSchema = z.strictObject({
  /** A path, a path inside the traces folder, or the name of a generated load. */
  trace: z.string().min(1),
  format: z.enum(traceFormats).optional(),
  /** Calls (sessions, for agent sessions) to read at most. */
  limit: z.number().int().nonnegative().optional(),
  /** Arrivals are so many times as fast; the gaps inside sessions too, unless `keepGaps`. */
  speed: z.number().positive().optional(),
  /** Only arrivals by the clock are scaled: people think and tools run as long as they did. Also for the loads of an experiment. */
  keepGaps: z.boolean().optional(),
  /** The load so many times side by side, sharing nothing. */
  copies: z.number().int().positive().optional(),
  /** Programs are dealt to so many tenants in turn, whatever tenants the trace names. */
  tenants: z.number().int().positive().optional(),
  seed: z.number().int().optional(),
  /** Agent sessions: mean seconds between starts (0: all at once), cut of gaps, longest context taken, division of all lengths. */
  startGapS: z.number().nonnegative().optional(),
  maxGapS: z.number().nonnegative().optional(),
  maxContextTokens: z.number().int().positive().optional(),
  shrink: z.number().positive().optional(),
  /** ServeGen: part of the profile. */
  fromS: z.number().nonnegative().optional(),
  durationS: z.number().positive().optional(),
});

/** What a load is made from; see the schema for each option. */
export type OpenOptions = z.infer<typeof openOptionsSchema>;

/** The options in a description of a fleet or a plan. */
export const workloadSchema = openOptionsSchema.partial();
export type WorkloadOptions = z.infer<typeof workloadSchema>;

/**
 * The options of a load: a command's own before those of the description.
 * @throws SimulatorError `workload_invalid` with one line a fault
 */
export function openOptions(own: WorkloadOptions, described: WorkloadOptions = {}): OpenOptions {
  if (own.trace === undefined && described.trace === undefined) {
    throw new SimulatorError(
      "workload_invalid",
      "No trace is named.",
      "Name one with --trace, or as trace under workload in the description.",
    );
  }
  const given = Object.entries(own).filter(([, value]) => value !== undefined);
  const parsed = openOptionsSchema.safeParse({ ...described, ...Object.fromEntries(given) });
  if (parsed.success) return parsed.data;
  throw new SimulatorError(
    "workload_invalid",
    `The options of the load are not valid:\n${z.prettifyError(parsed.error)}`,
    "docs/simulator.md lists the options.",
  );
}
