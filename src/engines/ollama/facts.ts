// What Ollama says of itself: its version, what a model can do (`/api/show`), and the context of the models that are loaded (`/api/ps`).
//
// The context that counts is the one that a model was loaded with. It is not the one that the model was trained for, and the API cannot be
// told it by a call: a Modelfile's `num_ctx`, OLLAMA_CONTEXT_LENGTH or the size of the memory decide it.
import { toolFields, wholeNumber, type ServerFacts } from "../openServer.ts";
import type { Shape } from "../asked.ts";

type Json = Record<string, unknown>;

interface OllamaModel {
  /** What the model was trained for. */
  trainedTokens: number | undefined;
  /** `num_ctx` of its Modelfile. */
  ownContextTokens: number | undefined;
  /** Undefined where the version is too old to say them. */
  abilities: readonly string[] | undefined;
}

/** What `/api/show` says of a model. Any member may be missing or of another kind than documented. */
export function modelOf(show: Json): OllamaModel {
  const info = (show["model_info"] ?? {}) as Json;
  const context = Object.entries(info).find(([name]) => name.endsWith(".context_length"))?.[1];
  const parameters = show["parameters"];
  const own = typeof parameters === "string" ? /^num_ctx\s+(\d{1,9})\s*$/m.exec(parameters)?.[1] : undefined;
  const abilities = show["capabilities"];
  return {
    trainedTokens: wholeNumber(context),
    ownContextTokens: own === undefined ? undefined : wholeNumber(Number(own)),
    abilities: Array.isArray(abilities) ? abilities.filter((one) => typeof one === "string") : undefined,
  };
}

/** Whether an answer is that of `/api/show`. */
export const isShow = (show: Json): boolean =>
  typeof show["model_info"] === "object" && show["model_info"] !== null && typeof show["details"] === "object";

/** The context that the model is loaded with; undefined where it is not loaded, or the version does not say it. */
export function loadedContext(ps: Json, model: string): number | undefined {
  const models = Array.isArray(ps["models"]) ? (ps["models"] as (Json | null)[]) : [];
  const mine = models.find((one) => [one?.["model"], one?.["name"]].some((name) => sameModel(name, model)));
  return wholeNumber(mine?.["context_length"]);
}

/** Ollama adds the tag `latest` to a name without one. */
function sameModel(name: unknown, model: string): boolean {
  const tagged = (one: string) => (/:[^/]*$/.test(one) ? one : `${one}:latest`);
  return typeof name === "string" && tagged(name) === tagged(model);
}

/** APIs that the model answers, and what it reads beside text, where Ollama says so. */
export function capabilitiesOf(abilities: readonly string[] | undefined): ServerFacts["capabilities"] & object {
  if (!abilities) return { wrapsPrompts: true };
  const speaks: Shape[] = [];
  if (abilities.includes("completion")) speaks.push("chat", "completions");
  if (abilities.includes("embedding")) speaks.push("embeddings");
  return {
    ...(speaks.length > 0 && { speaks }),
    media: abilities.includes("vision") ? ["image"] : [],
    wrapsPrompts: true,
  };
}

/** Fields that Ollama refuses for a model that lacks the ability, in words that do not name the field. */
const fieldsOfAbilities: Record<string, readonly string[]> = {
  tools: toolFields,
  thinking: ["reasoning_effort"],
  insert: ["suffix"],
};

/** Fields that are nothing to a model of these abilities. */
export const fieldsBeyond = (abilities: readonly string[]): string[] =>
  Object.entries(fieldsOfAbilities).flatMap(([ability, fields]) => (abilities.includes(ability) ? [] : fields));

/** The version of a server that was built from its source without being told one. */
export const isUnversioned = (version: unknown): boolean => version === "0.0.0";

/** Whether this version refuses a prompt that is too long where it is told to, instead of cutting it. */
export function refusesLongPrompts(version: unknown): boolean {
  const [, major, minor] = /^v?(\d+)\.(\d+)/.exec(typeof version === "string" ? version : "") ?? [];
  return Number(major) > 0 || Number(minor) >= 13;
}
