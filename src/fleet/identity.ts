// Which home this is. A folder that was copied holds the same files as the original: the same secrets, the same list of running
// children, the same unfinished runs. Started beside the original it must not touch what is the original's, so a home knows where it
// lies (device and inode of its folder), marks its children with that, and a copy waits for a person's word.
//
//   no identity yet                          made now: a new home, or one of an earlier version
//   same folder, or same path                the same home: renamed, restored in place, a volume mounted anew
//   elsewhere, and the original has gone     moved: it goes on here
//   elsewhere, and the original is there     a copy: refused, until `--adopt` makes it a home of its own
import { randomUUID } from "node:crypto";
import { readFileSync, readdirSync, realpathSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { LineshaftError } from "../errors/index.ts";

export const identityFile = "home.json";

const identitySchema = z.object({
  id: z.string(),
  /** Where it lay at its last start, and the folder itself; device and inode as text, since they may have 64 bits. */
  path: z.string(),
  device: z.string(),
  inode: z.string(),
  /** A copy that was adopted and has not yet given up what belongs to the original. */
  adopting: z.boolean(),
});
type HomeIdentity = z.infer<typeof identitySchema>;

/** What a home's children carry in their environment: a copy's is another, a renamed home's is the same. */
export const markOf = ({ id, device, inode }: HomeIdentity): string => `${id}.${device}.${inode}`;

/** Undefined where there is none, or none that can be read. */
export function readIdentity(home: string): HomeIdentity | undefined {
  try {
    return identitySchema.parse(JSON.parse(readFileSync(join(home, identityFile), "utf8")));
  } catch {
    return undefined;
  }
}

/** Whether a start has settled that the home is the one that lies here. A copy that was refused still has the original's identity. */
export function isSettled(home: string): boolean {
  const known = readIdentity(home);
  if (!known) return false;
  const here = placeOf(home);
  return known.device === here.device && known.inode === here.inode;
}

/** The identity that a home has from here on, to be written by the caller. Throws a LineshaftError for a copy that is not adopted. */
export function identityHere(home: string, adopt: boolean): HomeIdentity {
  const here = placeOf(home);
  const known = readIdentity(home);
  if (!known) return { id: randomUUID(), ...here, adopting: false };
  const same = known.device === here.device && known.inode === here.inode;
  if (same || known.path === here.path || !liesAt(known, here)) return { ...known, ...here };
  if (adopt) return { id: randomUUID(), ...here, adopting: true };
  throw new LineshaftError({
    code: "home_copied",
    message: `This home is a copy: ${here.path}`,
    why: `The original is still there: ${known.path}. Both would go on with the same runs, and each effect would happen twice.`,
    hint: "Start the original; or remove it, and this one takes its place; or make this one an instance of its own, without the original's unfinished runs: npx lineshaft up --adopt",
  });
}

/** Removes what a copied folder says of the original's processes, and Restate's journal of the original's runs. */
export function forgetOriginal(home: string): void {
  for (const name of readdirSync(join(home, "run")))
    if (!name.startsWith("lock")) rmSync(join(home, "run", name), { recursive: true, force: true });
  rmSync(join(home, "restate"), { recursive: true, force: true });
}

function placeOf(home: string): Pick<HomeIdentity, "path" | "device" | "inode"> {
  const { dev, ino } = statSync(home, { bigint: true });
  return { path: realpathSync(home), device: String(dev), inode: String(ino) };
}

/** Whether the home of this identity still lies where it lay, in another folder than ours. */
function liesAt(known: HomeIdentity, here: Pick<HomeIdentity, "device" | "inode">): boolean {
  try {
    const there = placeOf(known.path);
    if (there.device === here.device && there.inode === here.inode) return false;
  } catch {
    return false;
  }
  return readIdentity(known.path)?.id === known.id;
}
