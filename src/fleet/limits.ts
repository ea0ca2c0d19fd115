// Every bound of the fleet's supervisor in one place, with the reason for its value.

/** Pause before the first restart of a child that died; most deaths (a kill, a lost race for a port) heal at once. */
export const restartFloorMs = 250;

/** Longest pause between restarts: a child that cannot live is tried twice a minute, for ever. */
export const restartCeilingMs = 30_000;

/** Each death doubles the pause. */
export const restartMultiplier = 2;

/** A child that was ready this long is healthy: its next death starts again at the floor. */
export const healthyAfterMs = 30_000;

/** What is kept of a child's output for the sentence that says why it ended. */
export const outputTailBytes = 8 * 1024;

/** IPC messages kept until `ready` reads them; a child that floods its parent loses the oldest. */
export const messageBacklog = 256;

/** How often a process that should end is looked at. */
export const gonePollMs = 20;

/** Orphans of a killed start are asked to stop, and killed after this long: the next start should be quick. */
export const orphanStopMs = 2_500;

/** A killed process is gone within moments; one that is not hangs in the kernel, and starting beside it is not safe. */
export const orphanGoneMs = 10_000;

/** Largest manifest: a long system prompt fits many times over, a file given by mistake does not. */
export const manifestBytes = 256 * 1024;

/** Workers of one role of a deployment: what a manifest may ask for, long before memory ends. */
export const workersPerRole = 64;

/** A deployment whose workers did not start is tried again after this long. */
export const startAgainMs = 30_000;

/** The disk counts as full below this: Postgres takes 16 MiB at a time for its log, and needs some to end what it has begun. */
export const diskReserveBytes = 64 * 1024 * 1024;

/** A full disk has room again from here on; apart from the reserve, so that it does not swing. */
export const diskRoomBytes = 96 * 1024 * 1024;

/** What is written to see that a disk that was full takes something. */
export const diskProbeBytes = 64 * 1024;

/** How often the disk is looked at, and how often while it is full. */
export const diskLookMs = 2_000;
export const diskFullLookMs = 1_000;

/** Records of children that could not be written are tried again after this long. */
export const recordsAgainMs = 1_000;
