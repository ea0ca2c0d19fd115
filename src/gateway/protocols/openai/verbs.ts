// Three verbs of a protocol and its constants, which chat and text completions share; `decode` is each one's own.
import type { CompletionShape } from "../../../engines/index.ts";
import type { Protocol } from "../types.ts";
import { answerText } from "./answers.ts";
import { openAiErrorBody } from "./errors.ts";

type Shared = Pick<Protocol, "shape" | "requestIdHeader" | "streamType" | "whole" | "events" | "error">;

/** `shape`: of the answers, as engines name the route that gives them. */
export const openAiVerbs = (shape: CompletionShape): Shared => ({
  shape,
  requestIdHeader: "x-request-id",
  streamType: "text/event-stream; charset=utf-8",
  whole: (answer) => answerText(shape, answer, false),
  events: () => (chunk) => `data: ${chunk ? answerText(shape, chunk, true) : "[DONE]"}\n\n`,
  error(failure, place) {
    const body = JSON.stringify(openAiErrorBody(failure));
    return place === "stream" ? `data: ${body}\n\n` : body;
  },
});
