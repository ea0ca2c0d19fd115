import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync, existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Home } from "./home.ts";
import { isSettled, readIdentity } from "./identity.ts";

let folder: string;
let original: Home;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lineshaft-identity-"));
  original = new Home(join(folder, "original"));
  original.prepare();
  original.settleIdentity(false);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function copyTo(name: string): Home {
  cpSync(original.path, join(folder, name), { recursive: true });
  return new Home(join(folder, name));
}

test("a home of a version before has an identity from its first start on, and keeps it", () => {
  rmSync(original.file("home.json"));
  expect(original.settleIdentity(false)).toEqual({ adopted: false });
  const made = readIdentity(original.path);
  original.settleIdentity(false);
  expect(readIdentity(original.path)).toEqual(made);
});

test("a copy beside its original is refused, and says what to do", () => {
  const copy = copyTo("copy");
  expect(() => copy.settleIdentity(false)).toThrow(
    expect.objectContaining({ code: "home_copied", hint: expect.stringContaining("lineshaft up --adopt") }),
  );
  expect(() => copy.settleIdentity(false)).toThrow(/copy: .*\/copy$/);
  // Its keeper ends no children: those that carry its mark are the original's.
  expect([isSettled(copy.path), isSettled(original.path)]).toEqual([false, true]);
  // The original goes on as before, also when the copy lies there.
  expect(original.settleIdentity(false)).toEqual({ adopted: false });
});

test("an adopted copy is another home with another mark; what it says of the original's processes is gone", () => {
  const copy = copyTo("copy");
  writeFileSync(copy.file("run", "children.json"), "[]");
  mkdirSync(copy.file("restate"));
  expect(copy.settleIdentity(true)).toEqual({ adopted: true });
  expect(isSettled(copy.path)).toBe(true);
  expect([existsSync(copy.file("run", "children.json")), existsSync(copy.file("restate"))]).toEqual([false, false]);
  expect(readIdentity(copy.path)!.id).not.toBe(readIdentity(original.path)!.id);
  expect(copy.mark).not.toBe(original.mark);
  // Killed before it was done: the next start goes on with it, without another word.
  expect(copy.settleIdentity(false)).toEqual({ adopted: true });
  copy.adoptionDone();
  expect(copy.settleIdentity(false)).toEqual({ adopted: false });
});

test("a renamed home goes on, with the same mark: its orphans are still its own", () => {
  const { mark } = original;
  renameSync(original.path, join(folder, "renamed"));
  const renamed = new Home(join(folder, "renamed"));
  expect(renamed.settleIdentity(false)).toEqual({ adopted: false });
  expect(renamed.mark).toBe(mark);
});

test("a copy whose original has gone takes its place", () => {
  const copy = copyTo("copy");
  const { id } = readIdentity(original.path)!;
  rmSync(original.path, { recursive: true });
  expect(copy.settleIdentity(false)).toEqual({ adopted: false });
  expect(readIdentity(copy.path)!.id).toBe(id);
});

test("a volume that is mounted anew at its place, with other numbers, starts without a word", () => {
  const identity = JSON.parse(readFileSync(original.file("home.json"), "utf8")) as object;
  writeFileSync(original.file("home.json"), JSON.stringify({ ...identity, device: "1", inode: "2" }));
  expect(original.settleIdentity(false)).toEqual({ adopted: false });
});

test("another home that lies where the original lay is not the original", () => {
  const copy = copyTo("copy");
  rmSync(original.path, { recursive: true });
  original.prepare();
  original.settleIdentity(false);
  expect(copy.settleIdentity(false)).toEqual({ adopted: false });
});
