// JSON schema to grammar: `compileSchema` returns the grammar that enforces a schema during generation. Every text of the grammar fits the
// schema, patterns and formats included; a keyword that cannot be enforced so is refused by name. llama.cpp's own converter is not used,
// because it drops keywords and turns anyOf into null.
import { LRUCache } from "lru-cache";
import { CannotExpress, schemaRefused } from "./errors.ts";
import { GrammarBuilder } from "./gbnf.ts";
import { SchemaWriter } from "./writer.ts";

const maxSchemaChars = 256 * 1024;
const compiled = new LRUCache<string, string>({ max: 256 });

/**
 * The grammar of a JSON schema (2020-12, or draft-07's forms): GBNF whose root is one value in the spaced JSON form (json.ts), with nothing
 * before or after it. Throws LineshaftError naming the keyword that cannot be enforced.
 */
export function compileSchema(schema: unknown): string {
  const text = schemaText(schema);
  const known = compiled.get(text);
  if (known !== undefined) return known;
  const builder = new GrammarBuilder();
  const root = writeSchema(new SchemaWriter(builder), schema, { name: "#", unenforceable: "refuse", hint: "answer" });
  const gbnf = finish(builder, root, "#");
  compiled.set(text, gbnf);
  return gbnf;
}

/**
 * Adds a schema's rules to a grammar; returns the symbol of its values, objects only where asked for. `name` must be unique
 * in the grammar.
 */
export function writeSchema(
  writer: SchemaWriter,
  schema: unknown,
  options: { name: string; unenforceable: "refuse" | "validate"; hint: string; onlyObjects?: boolean },
): string {
  schemaText(schema);
  const document = {
    root: schema,
    name: options.name,
    unenforceable: options.unenforceable,
    work: 0,
    inhabited: new Set<string>(),
  };
  const nodes = [{ schema, path: options.name, document }];
  if (options.onlyObjects) nodes.push({ schema: { type: "object" }, path: `${options.name}#object`, document });
  try {
    return writer.value(nodes, options.hint);
  } catch (error) {
    if (error instanceof CannotExpress && error.reason === "too_large")
      throw schemaRefused("schema", options.name, `its grammar would have ${error.message}; make it smaller.`);
    throw error;
  }
}

/** The finished grammar. Throws LineshaftError when a part of the schema is recursive without end. */
export function finish(builder: GrammarBuilder, root: string, path: string): string {
  try {
    return builder.finish(root);
  } catch (error) {
    if (!(error instanceof CannotExpress)) throw error;
    throw schemaRefused("schema", path, "a definition needs itself inside itself without end; give it a way out.");
  }
}

/** The schema as JSON, which is also its name in caches. */
function schemaText(schema: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(schema);
  } catch {
    throw schemaRefused("schema", "#", "it nests too deeply or refers to itself as an object.");
  }
  if (text === undefined || text.length > maxSchemaChars) {
    throw schemaRefused("schema", "#", `a schema is JSON of at most ${maxSchemaChars} characters.`);
  }
  return text;
}

let anyObject: string | undefined;

/** Grammar of `response_format: json_object`: any JSON object in the spaced form. */
export function jsonObjectGrammar(): string {
  if (anyObject === undefined) {
    const builder = new GrammarBuilder();
    anyObject = builder.finish(new SchemaWriter(builder).anyObject());
  }
  return anyObject;
}
