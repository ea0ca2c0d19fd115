// A call's tokens by kind and cache tier, and the price of each kind.
import { useQuery } from "@tanstack/react-query";
import type { AttemptResource, CallDetail, EngineResource } from "../../contract/index.ts";
import { enginesQuery } from "../api/queries.ts";
import { full, moneyScale, percentFixed } from "../format.ts";
import { PartsBar, type Part } from "../ui/page.tsx";
import { Money } from "../ui/text.tsx";

const tierTones: Record<string, string> = { device: "--chip", host: "--chip", disk: "--cloud", remote: "--agent" };

export function Tokens({ call }: { call: CallDetail }) {
  const engines = useQuery(enginesQuery).data;
  const tiers = new Map<string, number>();
  for (const attempt of call.attempts)
    for (const [tier, tokens] of Object.entries(attempt.cached_by_tier ?? {}))
      tiers.set(tier, (tiers.get(tier) ?? 0) + tokens);
  const known = [...tiers.values()].reduce((sum, tokens) => sum + tokens, 0);
  const computed = call.prompt_tokens - call.cached_tokens;
  const price = pricesOf(call, engines);
  const kinds: { label: string; tokens: number; tone: string; nano: string | undefined; tip?: string }[] = [
    ...[...tiers]
      .filter(([, tokens]) => tokens > 0)
      .map(([tier, tokens]) => ({
        label: `cached, ${tier}`,
        tokens,
        tone: tierTones[tier] ?? "--chip",
        nano: price?.(0, tokens, 0),
      })),
    ...(call.cached_tokens > known
      ? [
          {
            label: known === 0 ? "cached" : "cached elsewhere",
            tokens: call.cached_tokens - known,
            tone: "--chip",
            nano: price?.(0, call.cached_tokens - known, 0),
          },
        ]
      : []),
    { label: "computed", tokens: computed, tone: "--model", nano: price?.(computed, 0, 0) },
    { label: "output", tokens: call.output_tokens, tone: "--model-light", nano: price?.(0, 0, call.output_tokens) },
  ];
  const scale = moneyScale([call.price_nano]);
  const parts: Part[] = kinds.map((kind) => ({
    label: kind.label,
    value: kind.tokens,
    tone: kind.tone,
    text: full(kind.tokens),
  }));
  return (
    <section className="panel" aria-labelledby="tokens">
      <div className="panel-head">
        <h2 id="tokens">Tokens</h2>
        <span className="aside num">{full(call.prompt_tokens + call.output_tokens)}</span>
      </div>
      <div className="panel-body">
        <PartsBar label="Tokens by kind" parts={parts} legend={false} />
        <table className="mini">
          <thead>
            <tr>
              <th scope="col">Kind</th>
              <th scope="col">Tokens</th>
              <th scope="col">Share</th>
              <th scope="col">Price</th>
            </tr>
          </thead>
          <tbody>
            {kinds.map((kind) => (
              <tr key={kind.label}>
                <th scope="row">
                  <i style={{ background: `var(${kind.tone})` }} aria-hidden="true" />
                  {kind.label}
                </th>
                <td>{full(kind.tokens)}</td>
                <td>
                  {percentFixed(
                    call.prompt_tokens + call.output_tokens === 0
                      ? null
                      : kind.tokens / (call.prompt_tokens + call.output_tokens),
                  )}
                </td>
                <td>
                  {kind.nano === undefined ? "–" : <Money nano={kind.nano} currency={call.currency} scale={scale} />}
                </td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">settled at</th>
              <td>{full(call.prompt_tokens + call.output_tokens)}</td>
              <td />
              <td>
                <Money nano={call.price_nano} currency={call.currency} scale={scale} />
              </td>
            </tr>
          </tfoot>
        </table>
        <Claims call={call} />
      </div>
    </section>
  );
}

/** Tokens that engines claimed beyond the hold of the call. Only the tokens above are billed. */
function Claims({ call }: { call: CallDetail }) {
  const claimed = call.attempts.filter((attempt) => attempt.suspense_nano !== "0");
  if (claimed.length === 0) return null;
  const sum = (of: (attempt: AttemptResource) => number | null) =>
    full(claimed.reduce((total, attempt) => total + (of(attempt) ?? 0), 0));
  const nano = claimed.reduce((total, attempt) => total + BigInt(attempt.suspense_nano), 0n);
  return (
    <p className="warn claims">
      The engine claimed {sum((attempt) => attempt.claimed_prompt_tokens ?? attempt.prompt_tokens)} prompt and{" "}
      {sum((attempt) => attempt.claimed_output_tokens ?? attempt.output_tokens)} output tokens, more than was held.{" "}
      <Money nano={String(nano)} currency={call.currency} /> of that are in suspense: no budget pays them.
    </p>
  );
}

/**
 * Amounts by kind, from the engine's present rate card. Undefined when they do not add up to the settled price, because the card changed
 * since.
 */
function pricesOf(
  call: CallDetail,
  engines: EngineResource[] | undefined,
): ((input: number, cached: number, output: number) => string) | undefined {
  const card = engines?.find((engine) => engine.name === call.model)?.price;
  if (!card || card.currency !== call.currency) return undefined;
  // A call is priced whole by the tier of its prompt.
  const prices = card.tiers?.findLast((tier) => call.prompt_tokens > tier.above_prompt_tokens) ?? card;
  const amount = (input: number, cached: number, output: number) =>
    (BigInt(input) * BigInt(prices.input_nano_per_million) +
      BigInt(cached) * BigInt(prices.cached_nano_per_million) +
      BigInt(output) * BigInt(prices.output_nano_per_million)) /
    1_000_000n;
  const gap =
    amount(call.prompt_tokens - call.cached_tokens, call.cached_tokens, call.output_tokens) - BigInt(call.price_nano);
  const slack = BigInt(call.attempts.length + 1);
  return gap > slack || gap < -slack ? undefined : (...tokens) => String(amount(...tokens));
}
