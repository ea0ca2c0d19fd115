// Starts a real Ollama for its suite and its recordings, with a folder of its own for its models and its key, and makes its models out of the
// small GGUF files of `npm test`.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { embeddingModel, smallModel } from "../setup/model.ts";
import { freePorts, startServer, type Server } from "./childServer.ts";

/** Names of its models, as it lists them. */
export const models = {
  /** Its template knows tools. */
  tools: "scripted:latest",
  /** The template that Ollama made out of the file's own: it knows no tools. */
  plain: "plain:latest",
  /** The context is so small that a short text fills it. */
  tiny: "tiny:latest",
  /** Its template has the roles that most templates have, and leaves out what comes by another. */
  roles: "roles:latest",
  embeddings: "embedder:latest",
};
export const contextTokens = 1024;
export const tinyTokens = 64;

/** In the form of its own models: tools, and calls of them as JSON. */
const toolTemplate = `{{- if .Tools }}<|im_start|>system
{{ range .Tools }}{{ .Function }}
{{ end }}<|im_end|>
{{ end }}
{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}
{{- range .ToolCalls }}{"name": "{{ .Function.Name }}", "parameters": {{ .Function.Arguments }}}
{{- end }}<|im_end|>
{{ end }}<|im_start|>assistant
`;

const roleTemplate = `{{- range .Messages }}
{{- if eq .Role "system" }}<|im_start|>system
{{ .Content }}<|im_end|>
{{ else if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ .Content }}<|im_end|>
{{ end }}
{{- end }}<|im_start|>assistant
`;

interface Modelfile {
  from: string;
  context?: number;
  template?: string;
}

/** One thread: several wait for one another where the cores are busy. Without the usual penalty a small model repeats a call of a tool. */
const textOf = ({ from, context, template }: Modelfile): string =>
  [
    `FROM ${from}`,
    "PARAMETER num_thread 1",
    "PARAMETER repeat_penalty 1",
    ...(context === undefined ? [] : [`PARAMETER num_ctx ${context}`]),
    ...(template === undefined ? [] : [`TEMPLATE """${template}"""`]),
  ].join("\n");

interface Ollama extends Server {
  /** Where its models and its key lie. */
  folder: string;
}

/** Resolves when it answers and has its models. */
export async function startOllama(command: string): Promise<Ollama> {
  const folder = mkdtempSync(join(tmpdir(), "lineshaft-ollama-"));
  const [port] = await freePorts(1);
  const env = {
    HOME: folder,
    OLLAMA_HOST: `127.0.0.1:${port}`,
    OLLAMA_MODELS: join(folder, "models"),
    OLLAMA_MAX_LOADED_MODELS: "4",
  };
  const url = `http://127.0.0.1:${port}`;
  const server = await startServer({
    name: "Ollama",
    command,
    args: ["serve"],
    url,
    ready: "/api/version",
    env,
    signal: "SIGTERM",
  });
  const small = await smallModel();
  const files: [string, Modelfile][] = [
    [models.tools, { from: small, context: contextTokens, template: toolTemplate }],
    [models.plain, { from: small, context: contextTokens }],
    [models.tiny, { from: small, context: tinyTokens }],
    [models.roles, { from: small, context: contextTokens, template: roleTemplate }],
    [models.embeddings, { from: await embeddingModel() }],
  ];
  for (const [name, file] of files) {
    const path = join(folder, "Modelfile");
    writeFileSync(path, textOf(file));
    const { status, stderr } = spawnSync(command, ["create", name, "-f", path], { env: { ...process.env, ...env } });
    if (status !== 0) throw new Error(`Ollama did not make ${name}:\n${stderr.toString("utf8")}`);
  }
  const stop = async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, stop, folder };
}
