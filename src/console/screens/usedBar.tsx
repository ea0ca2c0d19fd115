// How much of a limit is used, as a bar and a share: of a budget's money, or of a limit on use.
import { percentFixed } from "../format.ts";

/** `share`: used part of the limit, 1 is all of it; it may be more. `tip`: the full amounts. */
export function UsedBar({ share, tip }: { share: number; tip: string }) {
  const tone = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "good";
  return (
    <span className="used" data-tip={tip}>
      <span className="used-bar" aria-hidden="true">
        <i className={tone} style={{ width: `${Math.min(100, share * 100)}%` }} />
      </span>
      <span className={tone === "good" ? "num" : `num ${tone}`}>{percentFixed(share)}</span>
    </span>
  );
}
