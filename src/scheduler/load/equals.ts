// Endpoints that should be equally fast (one deployment, one kind of chip, one role, one given speed) are taken to be so unless their own
// calls say otherwise. All observations together make one line. An endpoint's own observations give its ratio to that line, and only the
// part of the ratio's distance from 1 that chance does not explain is believed.
//
// Chance: with a standard error s of each ratio, the largest of k ratios that are all 1 in truth is off by about s sqrt(2 ln k) (the
// universal threshold, Donoho and Johnstone, Biometrika 1994). A distance d keeps the share 1 - (s sqrt(2 ln k) / d)^2 of itself, none
// if that is negative (the non-negative garrote, Breiman, Technometrics 1995). So endpoints that are equal share all that is learned, and one
// that is slow stands out after a few calls: the further off it is, the fewer.
import { FadingSums, type Line } from "./line.ts";

interface Own {
  sums: FadingSums;
  /** Its time for what its equals do in 1, as far as it is believed. */
  ratio: number;
}

/** Lines of members that should have the same one. */
export class Equals<Member> {
  private readonly given: Line;
  private readonly withOverhead: boolean;
  private readonly members = new Map<Member, Own>();

  /** `given` counts until there are observations. `withOverhead`: whether calls cost time beside their tokens. */
  constructor(given: Line, withOverhead: boolean) {
    this.given = given;
    this.withOverhead = withOverhead;
  }

  join(member: Member): void {
    this.members.set(member, { sums: new FadingSums(), ratio: 1 });
  }

  leave(member: Member): void {
    this.members.delete(member);
  }

  /** `tokens` took `ms` at the member; below one token, or without time, nothing is learned. */
  observe(member: Member, tokens: number, ms: number): void {
    const own = this.members.get(member);
    if (own === undefined || !(tokens >= 1) || !(ms > 0)) return;
    own.sums.observe(tokens, ms);
    own.ratio = this.ratioOf(own, this.line());
  }

  /** Whether the member has observations of its own. */
  measured(member: Member): boolean {
    return (this.members.get(member)?.sums.count ?? 0) > 0;
  }

  /** The line of a member, by its own observations and its equals'. */
  of(member: Member): Line {
    const { overheadMs, msPerToken } = this.line();
    const ratio = this.members.get(member)?.ratio ?? 1;
    return { overheadMs: overheadMs * ratio, msPerToken: msPerToken * ratio };
  }

  /** All observations, each as if its member were like its equals: a slow member does not make the others seem slow. */
  private line(): Line {
    const all = new FadingSums();
    for (const { sums, ratio } of this.members.values()) if (sums.count > 0) all.add(sums, ratio);
    return all.fit(this.given, this.withOverhead);
  }

  private ratioOf({ sums, ratio: before }: Own, line: Line): number {
    let squares = 0;
    let free = 0;
    let measured = 0;
    for (const other of this.members.values()) {
      if (other.sums.count === 0) continue;
      measured++;
      // Of a slow member by its own measure, so that chance is stated in its equals' time.
      squares += other.sums.against(line).squares / other.ratio ** 2;
      free += Math.max(0, other.sums.count - 1);
    }
    if (measured < 2 || free < 1) return 1;
    const { ratio, weight } = sums.against(line);
    const chance = (2 * Math.log(measured) * before ** 2 * squares) / free / weight;
    const distance = ratio - 1;
    return distance ** 2 <= chance ? 1 : 1 + distance * (1 - chance / distance ** 2);
  }
}
