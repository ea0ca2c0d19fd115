// Memory that a deployment lacks, said with its numbers.
import type { Shortage } from "./plan.ts";
import type { DeploymentFailure } from "./types.ts";

/** The shortage as a failure with the code `memory_short`, whose message has the numbers in GB. */
export function shortageText(deployment: string, workers: number, shortage: Shortage): DeploymentFailure {
  const { neededBytes, availableBytes, fitting } = shortage;
  return {
    code: "memory_short",
    message:
      `${workers} ${workers === 1 ? "worker" : "workers"} of ${deployment} do not fit: with all others ` +
      `${gigabytes(neededBytes)} are needed, and ${gigabytes(availableBytes)} can be used.`,
    hint:
      fitting > 0
        ? `Deploy it with at most ${fitting}, or with fewer slots or a shorter context, or free memory.`
        : "Deploy it with fewer slots or a shorter context, scale another one down, or free memory.",
  };
}

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
