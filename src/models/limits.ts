// Bounds of this room.

/** Until the first byte of a download's answer; after that the host counts as unreachable. */
export const firstByteMs = 20_000;

/** Between two pieces of a download; after that the download breaks, and is continued at the next try. */
export const silenceMs = 30_000;

/** Redirects of one download: to the file's store, perhaps by way of a mirror. */
export const redirectsMax = 5;

/** A hundred megabytes over a slow line. */
export const pipTimeoutMs = 15 * 60_000;

/** Smallest file that can be a model; smaller ones are pointers or error pages. */
export const modelBytesMin = 1024;

/** A GGUF header: the sizes in which it is read, each from the start; a header longer than the last is refused. */
export const ggufHeaderBytes = [1, 8, 64].map((mebi) => mebi * 1024 ** 2);

/** Keys of a GGUF header; the largest models have some hundreds. */
export const ggufKeysMax = 100_000;

/** Bytes of a key, as the format says, and of a text that is kept. */
export const ggufTextBytesMax = 65_535;

/** Values of a GGUF header that are walked over one by one: the texts of three vocabularies of a million fit. */
export const ggufValuesMax = 4_000_000;

/** Arrays inside each other. */
export const ggufDepthMax = 4;

/** Numbers of one array that is kept: one for each layer. */
export const ggufLayersMax = 10_000;

/** JSON at the start of a safetensors file; a header of a thousand tensors has a hundred kilobytes. */
export const safetensorsHeaderBytesMax = 16 * 1024 ** 2;

/** A member of an archive that is read whole: weights that are converted. */
export const memberBytesMax = 512 * 1024 ** 2;
