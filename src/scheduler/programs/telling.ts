// What other gateways are still to be told of this gateway's programs: every change once, and from time to time all live programs again, so
// that a lost message is wrong only for so long.
import { programNewsEveryMs, toldProgramsMax } from "../limits.ts";
import type { ProgramNews } from "../news.ts";
import { newsOf } from "./elsewhere.ts";
import { isLive, type Program } from "./program.ts";

/** News of one deployment's programs. */
export interface DeploymentNews {
  deployment: string;
  programs: ProgramNews[];
}

export class Telling {
  /** Longest waiting first. False: the program has ended. */
  readonly #untold = new Map<Program, boolean>();
  readonly #names = new Map<string, string>();
  #repeatedMs = 0;

  /** Something has changed of the program that others must know. */
  changed(program: Program): void {
    if (program.deployment === undefined) return;
    if (!this.#untold.has(program)) this.#names.set(program.key, program.id);
    this.#untold.set(program, true);
  }

  ended(program: Program): void {
    if (program.deployment === undefined) return;
    this.#untold.set(program, false);
    this.#names.delete(program.key);
  }

  /** The program has been forgotten. Where that was for idleness, the others have forgotten it too. */
  forgotten(program: Program): void {
    if (this.#untold.get(program) === true) this.#untold.delete(program);
    this.#names.delete(program.key);
  }

  /** This gateway's name of a program that others name by `key`. */
  nameOf(key: string): string | undefined {
    return this.#names.get(key);
  }

  /** The next news, at most as many as a message holds. */
  take(programs: Iterable<Program>, now: number): DeploymentNews[] {
    if (now - this.#repeatedMs >= programNewsEveryMs) {
      this.#repeatedMs = now;
      for (const program of programs) if (isLive(program, now)) this.changed(program);
    }
    const news = new Map<string, ProgramNews[]>();
    let left = toldProgramsMax;
    for (const [program, isKnown] of this.#untold) {
      if (left-- === 0) break;
      this.#untold.delete(program);
      const deployment = program.deployment!;
      const own = news.get(deployment);
      const told = newsOf(program, isKnown, now);
      if (own === undefined) news.set(deployment, [told]);
      else own.push(told);
    }
    return Array.from(news, ([deployment, told]) => ({ deployment, programs: told }));
  }
}
