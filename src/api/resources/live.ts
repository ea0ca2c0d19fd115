// Live events: rooms tell of their core records, and a listener is sent what /api shows of them. The mapping is done for each listener,
// so that an event without a listener costs nothing.
import type { RunEvent } from "../../agents/index.ts";
import type { LiveEvent } from "../../contract/index.ts";
import type { BatchEvent } from "../../gateway/batches/types.ts";
import type { CallEvent } from "../../gateway/index.ts";
import { callResource } from "./call.ts";
import { runResource, stepResource } from "./run.ts";

/**
 * What rooms publish: records of calls, runs and steps; what the composition says of components and alarms is a resource already, and so
 * is what another process has published.
 */
export type HouseEvent =
  | CallEvent
  | BatchEvent
  | RunEvent
  | Extract<LiveEvent, { type: "component" | "alarm" }>
  | { type: "relayed"; event: LiveEvent };

export function liveResource(event: HouseEvent): LiveEvent {
  switch (event.type) {
    case "call":
      return { type: "call", call: callResource(event.call) };
    case "run":
      return { type: "run", run: runResource(event.run) };
    case "step":
      return { type: "step", run: event.run, step: stepResource(event.step) };
    case "relayed":
      return event.event;
    default:
      return event;
  }
}

/** An event between processes: JSON of what readers are sent, which does not change with the rooms' records. */
export const relayed = {
  encode: liveResource,
  decode: (data: unknown): HouseEvent => ({ type: "relayed", event: data as LiveEvent }),
};
