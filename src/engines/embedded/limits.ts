// Every bound of the embedded worker on what a client can make it use.
import { blockTokens } from "./protocol.ts";

/** Largest request body in bytes: a prompt of the largest context, JSON-escaped, many times over. */
export const maxBodyBytes = 16 * 1024 * 1024;

/** Tokens of one prefill chunk: the small one while other calls decode, the large one while none does. */
export const chunkTokensBusy = 64;
export const chunkTokensIdle = 128;

/** Prefilling calls that get a chunk in one batch: the oldest, so that none starves, and the one nearest to its first token. */
export const chunksPerStep = 2;

/** Largest batch handed to the library: both large chunks and a decode token of every sequence fit. */
export const batchTokens = 512;

/** Shortest prefix worth a state file of its own, or worth waiting for while another call computes it. */
export const sharedPrefixMinTokens = 2 * blockTokens;

/** Shortest state worth parking: below this, computing it again takes no longer than loading a file. */
export const parkMinTokens = blockTokens;

/** Texts of one embeddings call, as in OpenAI's API. */
export const embeddingInputsMax = 2_048;

/** KV events kept for replay before the log is restated from the present (blocks.ts). */
export const eventLogLimit = 8_192;

/** Event streams open at once: a gateway and its neighbours, not a crowd. */
export const eventStreamLimit = 32;

/** Stop strings of one call, as in OpenAI's API, and the length of each. */
export const stopStringsMax = 4;
export const stopStringMaxLength = 256;

/** Tokens without output after which a stream sends a comment to keep the connection alive. */
export const silentTokensMax = 64;

/** Attempts that were aborted before they came; the oldest is forgotten first. */
export const earlyAbortsRemembered = 1_000;

/** Generated texts whose tokens are remembered, so that the next turn's prompt is tokenised as it was generated (answers.ts). */
export const rememberedOutputs = 512;

/** How long a state that was computed for another worker is kept: the longest expected wait in that worker's queue. */
export const leaseMs = 120_000;

/** How often the folder of KV files is looked at for files of other replicas, in milliseconds. */
export const folderPollMs = 1_000;
