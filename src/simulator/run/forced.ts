// Counterfactuals: a placement rule whose choice is replaced for some calls.
import type { Policy } from "../../scheduler/index.ts";
import type { Fleet } from "../fleet.ts";
import type { Attempt } from "./attempt.ts";

/**
 * The rule with forced placements, replica by call index. The rule is asked all the same, so that it learns and draws as it would
 * have without. A forced replica that is not among the candidates is ignored.
 */
export function forcing(policy: Policy, forced: ReadonlyMap<number, number>, { replicas }: Fleet): Policy {
  return {
    name: policy.name,
    card: policy.card,
    choose(view, rng) {
      const choice = policy.choose(view, rng);
      const replica = forced.get((view.call as Attempt).sim.index);
      if (replica === undefined) return choice;
      const { id } = replicas[replica]!;
      for (let i = 0; i < view.count; i++) {
        if (view.endpoints[i]!.spec.id === id) return { ...choice, index: i, reason: "forced" };
      }
      return choice;
    },
  };
}
