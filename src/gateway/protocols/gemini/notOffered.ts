// Parts of Google's API that are not offered, and what serves in their place. Their paths below /v1 are OpenAI's too, so a client of
// Google's would else be answered in a shape that it cannot read.
import type { NotOffered } from "../types.ts";

const parts: Readonly<Record<string, Omit<NotOffered, "path">>> = {
  files: {
    name: "Google's files API",
    hint: "Send the bytes of a file in the request, as `inlineData`, or its public address as `fileData.fileUri`.",
  },
  cachedContents: {
    name: "Google's API of cached contents",
    hint: "Send the whole prompt with each call: engines cache what prompts have in common at their beginning.",
  },
  batches: {
    name: "Google's batch API",
    hint: "POST /v1/batches (OpenAI's shape) and POST /v1/messages/batches (Anthropic's) make batches for every model.",
  },
};

export const notOffered: readonly NotOffered[] = Object.entries(parts).flatMap(([part, told]) =>
  ["/v1beta", "/v1", "/upload/v1beta", "/upload/v1"].map((root) => ({ path: `${root}/${part}`, ...told })),
);
