// Names of tools on both sides of an engine that speaks chat: what a Responses client calls `close_agent` in the group `multi_agent`, the
// engine knows as `multi_agent__close_agent`; and a tool that takes text is a function there. Answers are told in the client's names.
import { chatToolName, type Tool } from "../../../engines/index.ts";

/** A tool as its client knows it. */
interface Known {
  name: string;
  namespace?: string;
  custom: boolean;
}

/** Finds the client's tool by the name that an engine called; tools that keep their names are not in it. */
export class ToolNames {
  readonly #known = new Map<string, Known>();

  constructor(tools: readonly Tool[]) {
    for (const tool of tools) {
      const { name, namespace, custom } = tool;
      if (namespace === undefined && !custom && name.length <= 64) continue;
      this.#known.set(chatToolName(tool), {
        name,
        ...(namespace !== undefined && { namespace }),
        custom: custom !== undefined,
      });
    }
  }

  of(called: string): Known {
    return this.#known.get(called) ?? { name: called, custom: false };
  }
}

/** The text in the arguments of a function that stands for a tool of text. Arguments that are no such object are the text themselves. */
export function customInput(text: string): string {
  try {
    const read = JSON.parse(text) as { input?: unknown } | null;
    if (typeof read?.input === "string") return read.input;
  } catch {
    // A model that ignored the function's schema has written its text as it is.
  }
  return text;
}
