// The agents as their users start them, each with one task that it does without a person. What differs between them stands here: where they
// read the address and the key, and the names of their tools.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { npmClients } from "./install.ts";
import { runProgram, type Folder, type Ran, type Step, type World } from "./world.ts";

/** What the agents are told to do, and what they say when it is done. */
export const wish = "Read hello.txt and write out.txt.";
export const done = "I have read hello.txt and written out.txt.";
/** What out.txt holds then. */
export const written = "Seven apples, counted.";

export interface Agent {
  name: string;
  /** The API that it speaks, as calls are recorded. */
  endpoint: string;
  /** The calls of its tools that do the task. */
  steps(work: string): Step[];
  /** Starts it at the model of a world, with the prompt. */
  run(world: World, model: string, prompt: string, at: Folder): Promise<Ran>;
}

export const claudeCode: Agent = {
  name: "Claude Code",
  endpoint: "messages",
  steps: (work) => [
    { tool: "Read", arguments: { file_path: join(work, "hello.txt") } },
    { tool: "Write", arguments: { file_path: join(work, "out.txt"), content: written } },
  ],
  async run(world, model, prompt, at) {
    const program = join(await npmClients(), "node_modules/@anthropic-ai/claude-code-linux-x64/claude");
    const env = {
      ANTHROPIC_BASE_URL: world.address,
      ANTHROPIC_AUTH_TOKEN: world.key,
      ANTHROPIC_MODEL: model,
      ANTHROPIC_SMALL_FAST_MODEL: model,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      DISABLE_AUTOUPDATER: "1",
    };
    return runProgram(program, ["-p", prompt, "--output-format", "json", "--allowedTools", "Read,Write"], {
      ...at,
      env,
    });
  },
};

function codexOver(name: string, overSocket: boolean): Agent {
  return {
    name,
    endpoint: "responses",
    steps: () => [
      { tool: "exec_command", arguments: { cmd: "cat hello.txt" } },
      { tool: "exec_command", arguments: { cmd: `printf '${written}' > out.txt` } },
    ],
    async run(world, model, prompt, at) {
      const vendor = "node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex";
      const provider = {
        name: "Lineshaft",
        base_url: `${world.address}/v1`,
        env_key: "LINESHAFT_KEY",
        wire_api: "responses",
        request_max_retries: 0,
        stream_max_retries: 0,
        supports_websockets: overSocket,
      };
      const settings = [
        `model="${model}"`,
        `model_provider="lineshaft"`,
        ...Object.entries(provider).map(([key, value]) => `model_providers.lineshaft.${key}=${JSON.stringify(value)}`),
      ];
      const options = ["--skip-git-repo-check", "--sandbox", "danger-full-access"];
      const words = ["exec", ...options, ...settings.flatMap((setting) => ["-c", setting]), prompt];
      return runProgram(join(await npmClients(), vendor), words, { ...at, env: { LINESHAFT_KEY: world.key } });
    },
  };
}

export const codex = codexOver("Codex", false);
export const codexBySocket = codexOver("Codex over a WebSocket", true);

/** `npm`: the package by which it speaks an API. */
export function openCode(npm: string, endpoint: string): Agent {
  return {
    name: "OpenCode",
    endpoint,
    steps: (work) => [
      { tool: "read", arguments: { filePath: join(work, "hello.txt") } },
      { tool: "write", arguments: { filePath: join(work, "out.txt"), content: written } },
    ],
    async run(world, model, prompt, at) {
      const options = { baseURL: `${world.address}/v1`, apiKey: world.key };
      const models = { [model]: { limit: { context: 200_000, output: 8_192 } } };
      const config = {
        $schema: "https://opencode.ai/config.json",
        provider: { lineshaft: { npm, options, models } },
        autoupdate: false,
        share: "disabled",
      };
      writeFileSync(join(at.work, "opencode.json"), JSON.stringify(config));
      const words = ["run", "--model", `lineshaft/${model}`, "--format", "json", prompt];
      return runProgram(join(await npmClients(), "node_modules/opencode-linux-x64/bin/opencode"), words, at);
    },
  };
}

export const geminiCli: Agent = {
  name: "Gemini CLI",
  endpoint: "gemini",
  steps: (work) => [
    { tool: "read_file", arguments: { file_path: join(work, "hello.txt") } },
    { tool: "write_file", arguments: { file_path: join(work, "out.txt"), content: written } },
  ],
  async run(world, model, prompt, at) {
    mkdirSync(join(at.home, ".gemini"));
    const settings = {
      security: { auth: { selectedType: "gemini-api-key" } },
      privacy: { usageStatisticsEnabled: false },
    };
    writeFileSync(join(at.home, ".gemini/settings.json"), JSON.stringify(settings));
    const env = {
      GOOGLE_GEMINI_BASE_URL: world.address,
      GEMINI_API_KEY: world.key,
      GEMINI_CLI_TRUST_WORKSPACE: "true",
    };
    const program = join(await npmClients(), "node_modules/@google/gemini-cli/bundle/gemini.js");
    return runProgram(process.execPath, [program, "-m", model, "--approval-mode", "yolo", "-p", prompt], {
      ...at,
      env,
    });
  },
};
