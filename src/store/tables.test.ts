// The row types of tables.ts against the real catalogue of a migrated database: a forgotten column shows here.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { testDatabase } from "./testing.ts";

test("tables.ts names every column of every table", async () => {
  await using db = await testDatabase();
  const { rows } = await db.query<{ table_name: string; columns: string[] }>(
    `select table_name, array_agg(column_name::text order by column_name) as columns
     from information_schema.columns where table_schema = 'public' and table_name <> 'migrations' group by 1 order by 1`,
  );
  const source = readFileSync(new URL("./tables.ts", import.meta.url), "utf8");
  const listed = [...source.matchAll(/^ {2}(\w+): (\w+Table);$/gm)].map(([, table, type]) => {
    const body = new RegExp(`interface ${type} \\{([^}]*)\\}`).exec(source)?.[1] ?? "";
    return { table_name: table!, columns: [...body.matchAll(/^ {2}(\w+):/gm)].map((match) => match[1]!).toSorted() };
  });
  expect(listed.toSorted((a, b) => (a.table_name < b.table_name ? -1 : 1))).toEqual(rows);
});
