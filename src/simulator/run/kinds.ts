// Kinds of the events that a run puts into its queue, beside those of its engines (1 and 2).

/** A call is sent. Payload 1: it came by the clock, so that the next call by the clock must be scheduled. */
export const arrival = 10;
/** KV has arrived at its decoder. */
export const pulled = 11;
export const failure = 12;
export const recovery = 13;
/** A gateway's time passes. Target: the gateway. */
export const tick = 14;
export const scaleTick = 15;
export const replicaStarted = 16;
/** A conversation's state has been written where its next replica can read it. */
export const brought = 17;
/** The router's own time for a call is over. */
export const routed = 18;
/** A message of load arrives. Target: the gateway that hears it; payload: the number of the message. */
export const news = 19;
/** The latest useful time of an attempt's first token. Target: the call; payload: the attempt. */
export const late = 20;
