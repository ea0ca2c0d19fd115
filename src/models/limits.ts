// Bounds of this room.

/** Until the first byte of a download's answer; a host that says nothing for this long is as good as absent. */
export const firstByteMs = 20_000;

/** Between two pieces of a download; what has come so far is kept and continued. */
export const silenceMs = 30_000;

/** Redirects of one download: to the file's store, perhaps by way of a mirror. */
export const redirectsMax = 5;

/** A hundred megabytes over a slow line. */
export const pipTimeoutMs = 15 * 60_000;

/** Smallest file that can be a model; smaller ones are pointers or error pages. */
export const modelBytesMin = 1024;
