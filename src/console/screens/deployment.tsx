// One deployment: its sequences, memory, disk tier, and where its prompt tokens came from.
import type { DeploymentStatus, EngineResource } from "../../gateway/api/schemas.ts";
import { bytes, compact, full, percent, plural } from "../format.ts";
import { FigureName } from "../ui/figure.tsx";
import { PartsBar } from "../ui/page.tsx";
import { Badge, StateMark } from "../ui/text.tsx";

export function Deployment({
  deployment,
  engine,
}: {
  deployment: DeploymentStatus;
  engine: EngineResource | undefined;
}) {
  const { memory, disk, totals } = deployment;
  const id = `deployment-${deployment.name}`;
  return (
    <section className="panel" aria-labelledby={id}>
      <div className="panel-head deployment-head">
        <h2 id={id}>{deployment.name}</h2>
        <StateMark state={deployment.state} tip={deployment.error} />
        <Badge>{deployment.engine === "openai" ? "OpenAI-compatible" : deployment.engine}</Badge>
        <span className="aside num">
          {deployment.context_tokens === undefined ? null : (
            <span data-tip={`${full(deployment.context_tokens)} tokens`}>
              {compact(deployment.context_tokens)} context
            </span>
          )}
          {deployment.running === undefined ? null : <span>{full(deployment.running)} running</span>}
          {deployment.waiting === undefined ? null : <span>{full(deployment.waiting)} waiting</span>}
        </span>
      </div>
      {deployment.error === undefined ? null : (
        <p className="deployment-error" role="status">
          {deployment.error}
        </p>
      )}
      <div className="deployment">
        {deployment.sequences === undefined ? null : <Sequences deployment={deployment} />}
        {memory === undefined ? null : (
          <div className="measure">
            <h3>
              <FigureName of="kv_memory" label="Memory of the worker" />
              <span className="num">{bytes(memory.rss_bytes)}</span>
            </h3>
            <PartsBar
              label="Memory"
              parts={[
                { label: "KV", value: memory.kv_bytes, tone: "--chip", text: bytes(memory.kv_bytes) },
                { label: "weights", value: memory.model_bytes, tone: "--model", text: bytes(memory.model_bytes) },
                {
                  label: "rest",
                  value: Math.max(0, memory.rss_bytes - memory.kv_bytes - memory.model_bytes),
                  tone: "--cloud",
                  text: bytes(Math.max(0, memory.rss_bytes - memory.kv_bytes - memory.model_bytes)),
                },
              ]}
            />
          </div>
        )}
        {disk === undefined ? null : (
          <div className="measure">
            <h3>
              <FigureName of="disk_tier" />
              <span className="num">
                {percent(disk.budget_bytes === 0 ? null : disk.used_bytes / disk.budget_bytes)}
              </span>
            </h3>
            <PartsBar
              label="Disk tier"
              whole={disk.budget_bytes}
              parts={[
                {
                  label: plural(disk.files, "file"),
                  value: disk.used_bytes,
                  tone: "--cloud",
                  text: bytes(disk.used_bytes),
                },
                { label: "budget", value: 0, tone: "--line-strong", text: bytes(disk.budget_bytes) },
              ]}
            />
          </div>
        )}
        {totals === undefined ? null : (
          <div className="measure">
            <h3>
              <FigureName of="cached_share" label="Prompt tokens so far" />
              <span className="num" data-tip={full(totals.prompt_tokens)}>
                {compact(totals.prompt_tokens)}
              </span>
            </h3>
            <PartsBar
              label="Prompt tokens by origin"
              parts={[
                {
                  label: "cached, device",
                  value: totals.cached_device_tokens,
                  tone: "--chip",
                  text: compact(totals.cached_device_tokens),
                },
                {
                  label: "cached, disk",
                  value: totals.cached_disk_tokens,
                  tone: "--cloud",
                  text: compact(totals.cached_disk_tokens),
                },
                {
                  label: "computed",
                  value: totals.computed_tokens,
                  tone: "--model",
                  text: compact(totals.computed_tokens),
                },
              ]}
            />
            <p className="muted num">
              {plural(totals.calls, "call")}, {compact(totals.output_tokens)} output tokens; parked {full(totals.parks)}{" "}
              times, brought back {full(totals.restores)} times
            </p>
          </div>
        )}
        {memory === undefined && deployment.sequences === undefined ? (
          <p className="muted deployment-remote">
            {engine === undefined || engine.urls.length === 0
              ? "Served elsewhere."
              : `Served by ${engine.urls.join(", ")} as ${engine.model}.`}{" "}
            Its memory and caches are its own; what it tells about cached tokens is counted on each call.
          </p>
        ) : null}
      </div>
    </section>
  );
}

function Sequences({ deployment }: { deployment: DeploymentStatus }) {
  const sequences = deployment.sequences ?? [];
  const context = deployment.context_tokens ?? Math.max(...sequences.map((each) => each.tokens), 1);
  return (
    <div className="measure sequences-box">
      <h3>
        <FigureName of="sequences" />
        <span className="num muted">{compact(context)} tokens each at most</span>
      </h3>
      <ul className="sequences">
        {sequences.map((sequence) => (
          <li
            key={sequence.id}
            className={sequence.state}
            data-tip={`Sequence ${sequence.id}, ${sequence.state}\n${full(sequence.tokens)} of ${full(context)} tokens${sequence.program === undefined ? "" : `\n${sequence.program}`}`}
          >
            <span
              className="sequence-fill"
              style={{ height: `${Math.min(100, (sequence.tokens / context) * 100)}%` }}
            />
            <span className="sequence-id num">{sequence.id}</span>
            <span className="sequence-state">{sequence.state}</span>
            <span className="sequence-tokens num">{sequence.state === "free" ? "–" : compact(sequence.tokens)}</span>
            <span className="sequence-program mono">
              {sequence.program === undefined ? "" : sequence.program.slice(-6)}
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
