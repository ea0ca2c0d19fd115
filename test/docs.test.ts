// Files that the documents name exist: a move that forgets a document fails here.
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "./lanes.ts";

const documents = globSync(["README.md", "docs/**/*.md", "src/*/README.md", "test/*/README.md"], { cwd: root });

test.each(documents)("every file of the repository that %s names is there", (document) => {
  const text = readFileSync(join(root, document), "utf8");
  const named = [...text.matchAll(/`((?:src|test|bench|scripts|examples|packaging|docs)\/[\w./-]+\.\w+)`/g)];
  expect(named.map(([, path]) => path!).filter((path) => !existsSync(join(root, path)))).toEqual([]);
});
