// Which coding agents a model's context holds. What each one needs is its first prompt, with its instructions and tools, and room for an
// answer. The prompts were recorded in November 2026 (Claude Code 2.1, Codex 0.171, OpenCode 1.18, Gemini CLI 0.61), with four characters
// counted as a token; a conversation grows from there.
import type { DeploymentStatus } from "../../contract/index.ts";

/** Tokens of the first prompts. */
const firstPrompts: readonly [client: string, tokens: number][] = [
  ["Claude Code", 12_500],
  ["Codex", 10_500],
  ["Gemini CLI", 10_500],
  ["OpenCode", 8_500],
];

/** Room for an answer with a few calls of tools. */
const roomTokens = 2_000;

/** The agents and whether a context holds them. `contextTokens`: prompt plus output of one call. */
export const clientsOf = (contextTokens: number): NonNullable<DeploymentStatus["clients"]> =>
  firstPrompts.map(([name, tokens]) => ({
    name,
    needs_tokens: tokens + roomTokens,
    fits: tokens + roomTokens <= contextTokens,
  }));
