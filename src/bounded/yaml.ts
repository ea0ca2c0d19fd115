// YAML of callers, read in a thread, because some texts take long to read.
import { limits } from "./limits.ts";
import { inThread } from "./pool.ts";
import { CheckBusyError } from "./schemas.ts";
import { TaskError } from "./threads.ts";
import { pathKey, type YamlProblem, type YamlRead } from "./yamlText.ts";

/** The value of a YAML text with the lines of its paths (from 1), or its problem. */
type Yaml = { value: unknown; lineOf(path: readonly PropertyKey[]): number | undefined } | { problems: YamlProblem[] };

/** Reads YAML text. `lineOf` answers the line of a path, or of the nearest place above it. Throws CheckBusyError. */
export async function readYaml(text: string, group: string): Promise<Yaml> {
  let read: YamlRead;
  try {
    read = await inThread<YamlRead>(group, { kind: "yaml", text });
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    if (error.temporary) throw new CheckBusyError(`The manifest could not be read. ${error.message}`, { cause: error });
    const why =
      error.code === "cpu"
        ? `takes more than ${limits.taskCpuMs} ms to read; make it smaller`
        : error.code === "memory"
          ? `needs more than ${limits.threadMemoryMb} MB to be read; make it smaller`
          : error.message;
    return { problems: [{ message: why }] };
  }
  if ("problems" in read) return read;
  // Lines are needed only when something is wrong.
  let lines: Map<string, number> | undefined;
  return {
    value: JSON.parse(read.value) as unknown,
    lineOf: (path) => {
      lines ??= new Map(JSON.parse(read.lines) as [string, number][]);
      for (let length = path.length; length >= 0; length--) {
        const line = lines.get(pathKey(path.slice(0, length)));
        if (line !== undefined) return line;
      }
      return undefined;
    },
  };
}
