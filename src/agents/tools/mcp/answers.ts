// Answers of MCP tools: what is kept of them, and what is wrong with those that cannot be kept.
import { SdkError, SdkErrorCode, type CallToolResult } from "@modelcontextprotocol/client";
import { LineshaftError } from "../../../errors/index.ts";
import { limits } from "../../limits.ts";
import { valueDefect } from "../definition.ts";
import { masked } from "../masked.ts";
import type { ToolAnswer } from "../types.ts";
import { AnswerTooLongError } from "./allowance.ts";

/** An answer that came whole and cannot be kept. */
export class AnswerDefectError extends LineshaftError {
  constructor(message: string) {
    super({ code: "tool_answer_defect", message });
  }
}

/** What is wrong with an answer that came, as a sentence; undefined when none came. */
export function answerDefect(error: unknown): string | undefined {
  if (error instanceof AnswerDefectError) return error.message;
  if (error instanceof SdkError && error.code === SdkErrorCode.InvalidResult)
    return "The answer does not have the shape of a tool's result in MCP.";
  if (error instanceof SdkError && error.code === SdkErrorCode.UnsupportedResultType)
    return "The tool asks for input or for another kind of answer, which agents do not give.";
  if (!(error instanceof AnswerTooLongError)) return undefined;
  return `The answer is too long: more than ${limits.toolResultBytes} bytes. Ask for less.`;
}

/** The answer as it is kept. Throws AnswerDefectError: its depth and number of values are looked at before anything walks it. */
export function keptAnswer(result: CallToolResult, sent: string[]): ToolAnswer {
  const given: unknown = result.structuredContent ?? textOf(result);
  const defect = valueDefect(given);
  if (defect !== undefined) throw new AnswerDefectError(masked(`The answer cannot be kept: ${defect}`, sent));
  const output = masked(given, sent);
  const size = Buffer.byteLength(JSON.stringify(output) ?? "");
  if (size > limits.toolResultBytes)
    throw new AnswerDefectError(`The answer is ${size} bytes, more than ${limits.toolResultBytes}.`);
  return { output, isError: result.isError === true };
}

function textOf(result: CallToolResult): string {
  return result.content.map((block) => (block.type === "text" ? block.text : `[${block.type}]`)).join("\n");
}
