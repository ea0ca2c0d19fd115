// Every table has one owning room (src/store/access.ts), and only that room's statements name it. The statements are found in the
// strings and templates of each room's sources, which are parsed, so that a name in a comment or in an import is no statement.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "vite";
import { expect, test } from "vitest";
import { rooms } from "../src/rooms.ts";
import { access, functions } from "../src/store/access.ts";

const src = fileURLToPath(new URL("../src", import.meta.url));
const owners = new Map(
  [...Object.entries(access), ...Object.entries(functions)].map(([name, { room }]) => [name, room]),
);

const isTest = (path: string) => /\.test\.tsx?$|[/\\]testing(?:[/\\]|\.ts$)/.test(path);
const sources = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((path) => /\.tsx?$/.test(path) && !isTest(path) && !path.endsWith(".d.ts") && path.includes(sep))
  .map((path) => join(src, path));

/** The text of every string and template of a source; what is put into a template stands as `$`. */
function textsOf(source: string): string[] {
  const texts: string[] = [];
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (node === null || typeof node !== "object") return;
    const { type, value, quasis } = node as {
      type?: string;
      value?: unknown;
      quasis?: { value: { cooked: string } }[];
    };
    if (type === "Literal" && typeof value === "string") texts.push(value);
    if (type === "TemplateLiteral") texts.push(quasis!.map((quasi) => quasi.value.cooked).join("$"));
    Object.values(node).forEach(visit);
  };
  visit(parseSync("source.tsx", source).program.body);
  return texts;
}

/** What the words of SQL are followed by: one relation, or several with commas between. */
const relations =
  /\b(?:from|join|into|update|using|table|truncate)\s+(?:only\s+)?([^()]*?)(?=$|[();]|\b(?:from|join|where|set|on|group|order|left|right|full|inner|cross|values|select|union|limit|returning|for|as)\b)/g;
/** Statements are written in small letters; a sentence that only has `from` or `update` in it is none. */
const statement =
  /\bselect\b|\binsert into\b|\bdelete from\b|\bupdate \w+ (?:\w+ )?set\b|\bjoin [\w$]+ .*\bon\b|\bnull::|\btruncate\b/s;

interface Named {
  relations: string[];
  /** A relation whose name is put together at run time, so that it cannot be read from the source. */
  hidden: boolean;
}

/** Tables, views and functions that a piece of SQL names; the names of its own `with` queries are not among them. */
function namedIn(sql: string): Named {
  if (!statement.test(sql)) return { relations: [], hidden: false };
  const text = sql.replaceAll(/--.*$/gm, "");
  const own = new Set([...text.matchAll(/\b(\w+) as (?:not )?(?:materialized )?\(/g)].map(([, name]) => name!));
  const parts = [...text.matchAll(relations)].flatMap(([, list]) => list!.split(",").map((part) => part.trim()));
  const names = parts.map((part) => /^"?(\w+)/.exec(part)?.[1] ?? "");
  const types = [...text.matchAll(/\bnull::(\w+)/g)].map(([, name]) => name!);
  const called = [...text.matchAll(/\b(\w+)\s*\(/g)].map(([, name]) => name!);
  const found = new Set([...names.filter((name) => !own.has(name)), ...types, ...called]);
  return {
    relations: [...found].filter((name) => owners.has(name)),
    hidden: parts.some((part) => part.startsWith("$")),
  };
}

/** What every statement or part of one has in it. A source without it is not parsed, which takes the time of this test. */
const mayHaveStatement = /\b(?:select|insert|delete|update|truncate)\s|\bjoin |null::/;

/** Statements of a room that name what another room owns, and those whose relation cannot be read from the source. */
function violations(room: string, source: string): string[] {
  if (!mayHaveStatement.test(source)) return [];
  return textsOf(source).flatMap((text) => {
    const { relations: names, hidden } = namedIn(text);
    const foreign = names.filter((name) => owners.get(name) !== room);
    const line = text.trim().replaceAll(/\s+/g, " ").slice(0, 80);
    return [
      ...foreign.map((name) => `${name}, which ${owners.get(name)} owns: ${line}`),
      ...(hidden ? [`a relation whose name is put together: ${line}`] : []),
    ];
  });
}

test("every owner is a room", () => {
  expect([...owners].filter(([, room]) => !(room in rooms))).toEqual([]);
});

test("no room reads or writes another room's tables", () => {
  const wrong = sources.flatMap((path) => {
    const room = relative(src, path).split(sep)[0]!;
    return violations(room, readFileSync(path, "utf8")).map((what) => `${relative(src, path)} names ${what}`);
  });
  expect(wrong).toEqual([]);
});

test.each([
  ["db.query(`select 1 from calls c where c.run = $1`)", ["calls"]],
  ["db.query(`select * from runs r, keys k`)", ["keys"]],
  ["const part = `left join outcomes o on o.run = r.id`;", ["outcomes"]],
  ['db.query("insert into leases (epoch) values ($1)")', ["leases"]],
  ['db.query("update budgets set leased_nano = 0")', ["budgets"]],
  ['db.query("delete from entries")', ["entries"]],
  ["db.query(`select * from post_batch($1)`)", ["post_batch"]],
  ["db.query(`insert into runs select * from json_populate_recordset(null::attempts, $1)`)", ["attempts"]],
  ["db.query(`select id from ${table}`)", ["a relation whose name is put together"]],
  // A query of its own that has a table's name, a column, a comment and a sentence.
  ["db.query(`with calls as (select 1 as keys from runs) select * from calls`)", []],
  ["// select 1 from calls\nconst text = 'Records from calls were dropped.'", []],
])("a room that says %s is told", (source, names) => {
  expect(violations("agents", source).map((what) => what.split(/,|:/)[0])).toEqual(names);
});
