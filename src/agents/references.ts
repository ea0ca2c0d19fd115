// References in a manifest: `${input.machine}`, `${steps.readings.output.report}`. Paths only, no operators and no evaluation:
// what a manifest may do with values is exactly what can be seen in it.
//
// A string that is one reference becomes the value itself; inside other text a reference becomes its text (strings as they
// are, everything else as JSON). `$${` writes a literal `${`.
import { LineshaftError } from "../errors/index.ts";

const pattern = /\$?\$\{([^}]*)\}/g;
const path = /^(input|run|steps\.[a-z][a-z0-9_]*\.output)((?:\.[A-Za-z0-9_-]+)*)$/;

export interface Scope {
  input: unknown;
  run: { id: string };
  /** Outputs of the steps that have been taken, by id. */
  steps: Record<string, unknown>;
}

/** A reference is not a path, or leads to nothing in its scope. */
export class UnresolvedError extends LineshaftError {
  constructor(message: string) {
    super({ code: "reference_unresolved", message });
  }
}

/** A reference as it was written, taken apart. `step` is set when it names a step. */
export interface Reference {
  text: string;
  root: "input" | "run" | "steps";
  step?: string;
  keys: string[];
}

/** Takes `input.machine` apart. Throws UnresolvedError when it is not a path. */
function parse(text: string): Reference {
  const match = path.exec(text.trim());
  if (!match)
    throw new UnresolvedError(
      `\${${text}} is not a reference: write \${input.FIELD}, \${run.id} or \${steps.ID.output.FIELD}.`,
    );
  const keys = match[2] ? match[2].slice(1).split(".") : [];
  if (match[1] === "input" || match[1] === "run") return { text, root: match[1], keys };
  return { text, root: "steps", step: match[1]!.split(".")[1]!, keys };
}

/** Every reference inside a value (strings, lists and objects, to any depth). Throws UnresolvedError at the first bad one. */
export function referencesIn(template: unknown): Reference[] {
  if (typeof template === "string")
    return [...template.matchAll(pattern)]
      .filter((match) => !match[0].startsWith("$$"))
      .map((match) => parse(match[1]!));
  if (Array.isArray(template)) return template.flatMap(referencesIn);
  if (template !== null && typeof template === "object") return Object.values(template).flatMap(referencesIn);
  return [];
}

/** The value with every reference replaced. Throws UnresolvedError when one leads nowhere. */
export function resolve(template: unknown, scope: Scope): unknown {
  if (typeof template === "string") {
    const whole = /^\$\{([^}]*)\}$/.exec(template);
    if (whole) return lookUp(parse(whole[1]!), scope);
    return template.replace(pattern, (found, inside: string) => {
      if (found.startsWith("$$")) return found.slice(1);
      const value = lookUp(parse(inside), scope);
      return typeof value === "string" ? value : JSON.stringify(value);
    });
  }
  if (Array.isArray(template)) return template.map((item) => resolve(item, scope));
  if (template !== null && typeof template === "object")
    return Object.fromEntries(Object.entries(template).map(([key, value]) => [key, resolve(value, scope)]));
  return template;
}

function lookUp(reference: Reference, scope: Scope): unknown {
  let value: unknown =
    reference.root === "input" ? scope.input : reference.root === "run" ? scope.run : scope.steps[reference.step!];
  for (const key of reference.keys) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, key))
      throw new UnresolvedError(`\${${reference.text}} leads nowhere: there is no '${key}'.`);
    value = (value as Record<string, unknown>)[key];
  }
  if (value === undefined) throw new UnresolvedError(`\${${reference.text}} leads nowhere.`);
  return value;
}
