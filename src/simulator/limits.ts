// Bounds of this room: what a trace of unknown origin may cost. A file beyond them is an error that says so, not a process without memory.

/** Bytes of one line, or of one JSON document over several lines. Parsing one blocks the process, for a quarter of a second at most. */
export const documentBytesMost = 32 * 1024 * 1024;

/** Bytes of a trace, unpacked. */
export const traceBytesMost = 1024 * 1024 * 1024;

/** Nesting of objects and lists in a document. */
export const documentDepthMost = 32;

/** Bytes at the beginning of a file by which its format is told. */
export const headBytes = 1024 * 1024;

/** Tokens of one prompt or output. */
export const tokensPerCallMost = 100_000_000;

/** Calls of a workload, and block ids of all its prompts together (4 bytes each where prompts share no memory). */
export const callsMost = 4_000_000;
export const blockIdsMost = 2 ** 28;

/**
 * Bytes that the caches of all replicas of a run take together. Each takes some for every block of the workload, whether it ever has it or
 * not, and a run that is not collected yet may stand beside the next one.
 */
export const cacheBytesMost = 8 * 2 ** 30;

/** Characters of a file that an error shows. */
export const shownCharacters = 80;
