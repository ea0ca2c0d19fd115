// A row of the table of what every route answers to every kind of caller.
import type { Caller, World } from "./world.ts";

export type Five = [owner: string, member: string, otherOwner: string, otherMember: string, stranger: string];
/** The same to every kind of caller. */
export const ofAll = (answer: string): Five => [answer, answer, answer, answer, answer];
/** Public: with a key, without one, and with one that was revoked. */
export const everybody = "200";

export interface Row {
  route: string;
  /** Address where it is not the route itself. */
  path?: (world: World) => string;
  body?: (caller: Caller, world: World) => unknown;
  /** What an answer holds that shows the thing. */
  shows?: (world: World) => string;
  before?: (world: World) => unknown;
  /** What is answered to owner, member, owner and member of another project, and the owner of another organisation. */
  answers: Five | typeof everybody;
}
