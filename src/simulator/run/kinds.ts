// Kinds of the events that a run puts into its queue, beside those of its engines (1 and 2).
export const arrival = 10;
export const pulled = 11;
export const failure = 12;
export const recovery = 13;
export const programTick = 14;
export const scaleTick = 15;
export const replicaStarted = 16;
export const brought = 17;
export const routed = 18;
