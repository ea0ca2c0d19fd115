// `npm run test:complaints`: runs the tests that the table names, and prints for each complaint whether they passed. A complaint whose
// tests did not run is "not run", and the program then ends with 1, as it does where one failed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { root } from "../lanes.ts";
import { complaints } from "./table.ts";

interface Report {
  testResults: { name: string; assertionResults: { title: string; ancestorTitles: string[]; status: string }[] }[];
}

const named = complaints.flatMap(({ tests }) => tests);
const files = [...new Set(named.map(([file]) => file))];
const titles = named.map(([, title]) => title.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)).join("|");
const folder = mkdtempSync(join(tmpdir(), "lineshaft-complaints-"));
const output = join(folder, "report.json");
const words = [
  "node_modules/vitest/vitest.mjs",
  "run",
  "--passWithNoTests",
  "--reporter=json",
  `--outputFile=${output}`,
];
spawnSync(process.execPath, [...words, "-t", titles, ...files], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
let report: Report;
try {
  report = JSON.parse(readFileSync(output, "utf8")) as Report;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Passed and failed tests of one file whose title, or that of a group around them, begins so. */
function outcomeOf(file: string, title: string): { passed: number; failed: number } {
  const ran = report.testResults
    .filter(({ name }) => relative(root, name) === file)
    .flatMap(({ assertionResults }) => assertionResults)
    .filter((one) => [one.title, ...one.ancestorTitles].some((text) => text.startsWith(title)));
  const count = (status: string) => ran.filter((one) => one.status === status).length;
  return { passed: count("passed"), failed: count("failed") };
}

let passed = 0;
let failed = 0;
let skipped = 0;
for (const { what, from, tests, because } of complaints) {
  const outcomes = tests.map(([file, title]) => ({ file, title, ...outcomeOf(file, title) }));
  const wrong = outcomes.filter((one) => one.failed > 0 || one.passed === 0);
  const word = because
    ? "no such part"
    : wrong.length === 0
      ? "passed"
      : wrong.some((one) => one.failed > 0)
        ? "FAILED"
        : "not run";
  console.log(`${word.padEnd(12)} ${what} (${from})`);
  if (because) console.log(`${" ".repeat(13)}${because}`);
  for (const one of wrong)
    console.log(`${" ".repeat(13)}${one.failed > 0 ? "failed" : "not run"}: ${one.file} > ${one.title}`);
  if (because) skipped++;
  else if (wrong.length > 0) failed++;
  else passed++;
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 ? 0 : 1);
