// Which software answers at an OpenAI-compatible address. Most say it in their list of models (`owned_by`). Ollama names the owner of the
// model there, and an older llama.cpp or a proxy in front of one may name anybody, so an unknown owner's address is asked for a route that
// only one software has. Providers that are known by their host are not asked.
import { ask } from "../wire/ask.ts";
import { softwareOf, type Software } from "../wire/chat/fields.ts";
import { isProps, LlamacppServer } from "../llamacpp/server.ts";
import { limits } from "../limits.ts";
import { isShow } from "../ollama/facts.ts";
import { OllamaServer } from "../ollama/server.ts";
import type { OpenServer, OpenServerAddress } from "../openServer.ts";
import { SglangServer } from "../sglang/server.ts";
import { VllmEndpoint } from "../vllm/endpoint.ts";

/** The software at the address. Never throws: what does not answer as a known one does is `other`. */
export async function softwareAt(address: OpenServerAddress, signal?: AbortSignal): Promise<Software> {
  const said = softwareOf(address.listed);
  if (said !== "other") return said;
  const { root, headers, model } = address;
  const question = (method: "GET" | "POST", path: string, body?: string) =>
    ask(method, root + path, headers, body, signal, limits.detectMs).catch(() => ({}));
  const [show, props] = await Promise.all([
    question("POST", "/api/show", JSON.stringify({ model })),
    question("GET", "/props"),
  ]);
  if (isShow(show)) return "ollama";
  return isProps(props) ? "llamacpp" : "other";
}

const servers: Partial<Record<Software, (address: OpenServerAddress) => OpenServer>> = {
  vllm: (address) => new VllmEndpoint(address),
  sglang: (address) => new SglangServer(address),
  llamacpp: (address) => new LlamacppServer(address),
  ollama: (address) => new OllamaServer(address),
};

/** What is asked of that software beyond OpenAI's routes; undefined where nothing is. */
export const serverOf = (software: Software, address: OpenServerAddress): OpenServer | undefined =>
  servers[software]?.(address);
