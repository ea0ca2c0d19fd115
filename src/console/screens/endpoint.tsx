// One endpoint of a deployment: its role and state, its memory, the sources of its prompt tokens, and its sequences.
import type { EndpointStatus } from "../../contract/index.ts";
import { bytes, compact, full, plural } from "../format.ts";
import { FigureName } from "../ui/figure.tsx";
import { PartsBar } from "../ui/page.tsx";
import { Badge, StateMark } from "../ui/text.tsx";

const roleTips: Record<EndpointStatus["role"], string> = {
  both: "Computes prompts and generates output",
  prefill: "Computes prompts and sends their KV to decode endpoints",
  decode: "Takes KV from prefill endpoints and generates output",
};

export function EndpointCard({ endpoint, address }: { endpoint: EndpointStatus; address: string | undefined }) {
  const { memory } = endpoint;
  return (
    <li className="endpoint">
      <div className="endpoint-head">
        <h3>{endpoint.endpoint}</h3>
        <StateMark state={endpoint.state} tip={endpoint.error} />
        <span data-tip={roleTips[endpoint.role]}>
          <Badge>{endpoint.role === "both" ? "prefill and decode" : endpoint.role}</Badge>
        </span>
        <span className="aside num muted">
          {endpoint.running === undefined ? null : (
            <span>
              {full(endpoint.running)}
              {endpoint.slots === undefined ? "" : ` of ${full(endpoint.slots)}`} running
            </span>
          )}
          {endpoint.waiting === undefined ? null : <span>{full(endpoint.waiting)} waiting</span>}
          {endpoint.threads === undefined ? null : <span>{plural(endpoint.threads, "thread")}</span>}
        </span>
      </div>
      {address === undefined ? null : <p className="mono soft endpoint-address">{address}</p>}
      {endpoint.error === undefined || endpoint.state === "ready" ? null : (
        <p className="endpoint-error">{endpoint.error}</p>
      )}
      {memory === undefined ? null : (
        <div className="measure">
          <h4>
            <FigureName of="kv_memory" label="Memory" />
            <span className="num">{bytes(memory.rss_bytes)}</span>
          </h4>
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
      <PromptTokens of={[endpoint]} label="Prompt tokens so far" heading="h4" />
      {endpoint.sequences === undefined ? null : <Sequences endpoint={endpoint} />}
    </li>
  );
}

/** The sources of the prompt tokens of these endpoints. Empty when no endpoint reports them. */
export function PromptTokens({
  of,
  label,
  heading: Heading,
}: {
  of: EndpointStatus[];
  label: string;
  /** By the headings around it. */
  heading: "h3" | "h4";
}) {
  const totals = of.flatMap((endpoint) => endpoint.totals ?? []);
  if (totals.length === 0) return null;
  const sum = (pick: (each: (typeof totals)[number]) => number) => totals.reduce((all, each) => all + pick(each), 0);
  const prompt = sum((each) => each.prompt_tokens);
  const part = (name: string, value: number, tone: string) => ({ label: name, value, tone, text: compact(value) });
  return (
    <div className="measure">
      <Heading>
        <FigureName of="cached_share" label={label} />
        <span className="num" data-tip={full(prompt)}>
          {compact(prompt)}
        </span>
      </Heading>
      <PartsBar
        label="Prompt tokens by origin"
        parts={[
          part(
            "cached, device",
            sum((each) => each.cached_device_tokens),
            "--chip",
          ),
          part(
            "cached, disk",
            sum((each) => each.cached_disk_tokens),
            "--cloud",
          ),
          part(
            "computed",
            sum((each) => each.computed_tokens),
            "--model",
          ),
        ]}
      />
      <p className="muted num">
        {plural(
          sum((each) => each.calls),
          "call",
        )}
        , {compact(sum((each) => each.output_tokens))} output tokens; parked {full(sum((each) => each.parks))} times,
        brought back {full(sum((each) => each.restores))} times
      </p>
    </div>
  );
}

function Sequences({ endpoint }: { endpoint: EndpointStatus }) {
  const sequences = endpoint.sequences ?? [];
  const context = endpoint.context_tokens ?? Math.max(...sequences.map((each) => each.tokens), 1);
  return (
    <div className="measure">
      <h4>
        <FigureName of="sequences" />
        <span className="num muted">{compact(context)} tokens each at most</span>
      </h4>
      <ul className="sequences" aria-label={`Sequences of ${endpoint.endpoint}`}>
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
