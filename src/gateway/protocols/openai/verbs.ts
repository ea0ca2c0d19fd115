// Three verbs of a protocol and its constants, which chat and text completions share; `decode` is each one's own.
import type { CompletionShape } from "../../../engines/index.ts";
import { saidIn } from "../../errors.ts";
import type { Protocol } from "../types.ts";
import { answerText, chunkEncoder } from "./answers.ts";
import { openAiErrorBody } from "./errors.ts";

type Shared = Pick<Protocol, "shape" | "requestIdHeader" | "streamType" | "whole" | "events" | "error">;

/** `shape`: of the answers, as engines name the route that gives them. */
export const openAiVerbs = (shape: CompletionShape): Shared => ({
  shape,
  requestIdHeader: "x-request-id",
  streamType: "text/event-stream; charset=utf-8",
  whole: (answer, told) => answerText(shape, answer, false, told),
  events(told) {
    const encode = chunkEncoder(shape, told);
    return (chunk) => {
      const text = chunk ? encode(chunk) : "[DONE]";
      return text === undefined ? "" : `data: ${text}\n\n`;
    };
  },
  error(failure, place) {
    const said = saidIn(failure, shape);
    const body = JSON.stringify(said ? JSON.parse(said.text) : openAiErrorBody(failure));
    return place === "stream" ? `data: ${body}\n\n` : body;
  },
});
