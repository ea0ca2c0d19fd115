// All kinds of tools as one: each list and call goes to the kind that the server or the pinned tool names.
import type { ToolKindName } from "../types.ts";
import { McpTools, type ToolSecrets } from "./mcp/client.ts";
import type { CalledTool, ToolAnswer, ToolCallOptions, ToolDefinition, ToolKind, ToolServerAddress } from "./types.ts";

export class Toolbox implements ToolKind {
  readonly #kinds: Record<ToolKindName, ToolKind>;

  constructor(kinds: Record<ToolKindName, ToolKind>) {
    this.#kinds = kinds;
  }

  list(server: ToolServerAddress, project: string): Promise<ToolDefinition[]> {
    return this.#kinds[server.kind].list(server, project);
  }

  call(tool: CalledTool, args: Record<string, unknown>, options: ToolCallOptions): Promise<ToolAnswer> {
    return this.#kinds[tool.kind].call(tool, args, options);
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#kinds).map((kind) => kind.close()));
  }
}

/** Every kind that there is. A new kind is a folder beside mcp/, a name in `ToolKindName` and a line here. */
export function createToolbox({ secrets }: { secrets: ToolSecrets }): Toolbox {
  return new Toolbox({ mcp: new McpTools({ secrets }) });
}
