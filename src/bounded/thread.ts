// The thread in which schemas are compiled, values are checked and YAML is read. It holds nothing but compiled schemas; it may be
// ended at any moment (threads.ts).
import { parentPort } from "node:worker_threads";
import { compileSchema, problemOf } from "./compile.ts";
import { readYamlText } from "./yamlText.ts";

export type BoundedTask =
  | { kind: "compile"; schema: string }
  | { kind: "check"; schema: string; value: string }
  | { kind: "yaml"; text: string };

function done(task: BoundedTask): unknown {
  switch (task.kind) {
    case "compile":
      compileSchema(task.schema);
      return undefined;
    case "check":
      return problemOf(task.schema, task.value);
    case "yaml":
      return readYamlText(task.text);
  }
}

parentPort!.on("message", ({ task }: { task: BoundedTask }) => {
  try {
    parentPort!.postMessage({ result: done(task) });
  } catch (error) {
    const { message } = error as Error;
    parentPort!.postMessage({ error: message.slice(0, 500) });
  }
});
parentPort!.postMessage("ready");
