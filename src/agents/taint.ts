// Which values a model's words can reach, decided from the manifest alone. A verifier must judge facts that no model wrote: a tool that
// repeats its arguments would carry a decision's words into the evidence, and the model would judge itself.
//
// A decision is tainted. A tool's output is tainted when one of its arguments refers to something tainted. Evidence may name a tainted
// output only of an effect with a lookup: the verifier then sees what that tool's system keeps under the effect's key, asked by the
// platform after the act, and not the act's own answer. Without `steps` the model writes every argument, so every output is tainted.
//
// The analysis is by references. A server that is told a model's words in one call and repeats them in another is not seen.
import type { Manifest, ManifestTool } from "./manifestSchema.ts";
import { referencesIn } from "./references.ts";

/** How a model's words came to a step: the decision first, then each argument that they went through. */
type TaintPath = string[];

/** Every tainted step by id. The references must have been checked before. */
function taintedSteps(manifest: Pick<Manifest, "steps">): Map<string, TaintPath> {
  const tainted = new Map<string, TaintPath>();
  for (const step of manifest.steps ?? []) {
    if (step.decide !== undefined) tainted.set(step.id, [`decision '${step.id}'`]);
    for (const [argument, value] of Object.entries(step.with ?? {})) {
      const source = referencesIn(value).find((reference) => reference.step && tainted.has(reference.step));
      if (!source) continue;
      tainted.set(step.id, [
        ...tainted.get(source.step!)!,
        `argument '${argument}' of step '${step.id}' (${step.tool})`,
      ]);
      break;
    }
  }
  return tainted;
}

/**
 * Why the evidence of the contract cannot be trusted, each with the way that the words take; none when it can. `asksLookups` is false
 * for versions that were published before effects were shown as their lookups say.
 */
export function* evidenceTaint(manifest: Manifest, asksLookups = true): Generator<string> {
  if (!manifest.outcome) return;
  const tools = toolsOf(manifest);
  const isLookedUp = (tool: ManifestTool | undefined): boolean =>
    asksLookups && tool?.effect === true && tool.lookup !== undefined;
  if (!manifest.steps) {
    if (![...tools.values()].some(isLookedUp))
      yield "would hold a model's words only: without 'steps' the model writes every tool's arguments, so the verifier sees effects with a 'lookup' and nothing else of the tools. Give an effect its 'lookup', or declare 'steps'";
    return;
  }
  const tainted = taintedSteps(manifest);
  const said = new Set<string>();
  for (const { text, step } of referencesIn(manifest.outcome.evidence)) {
    const path = step === undefined ? undefined : tainted.get(step);
    const declared = manifest.steps.find(({ id }) => id === step);
    if (!path || declared?.tool === undefined || isLookedUp(tools.get(declared.tool)) || said.has(step!)) continue;
    said.add(step!);
    yield `\${${text}} carries a model's words: ${[...path, "evidence"].join(" → ")}. Name a tool whose arguments come from the input, or make '${declared.tool}' an effect with a 'lookup': the verifier then sees what its system keeps`;
  }
}

export function toolsOf(manifest: Pick<Manifest, "tools">): Map<string, ManifestTool> {
  return new Map(manifest.tools.flatMap((server) => Object.entries(server.allow)));
}
