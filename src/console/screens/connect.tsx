// How to connect a client: the address, a key that is made on this page, the lines to paste for each client, and a light that turns green
// when the first call arrives.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import type { KeyResource, Status } from "../../contract/index.ts";
import { getJson } from "../api/client.ts";
import { statusQuery, textModels } from "../api/queries.ts";
import { FirstCall, useFirstCall } from "../connect/firstCall.tsx";
import { clientOf, clients, keyPlaceholder, type Block } from "../connect/snippets.ts";
import { full } from "../format.ts";
import { PageHead } from "../ui/page.tsx";
import { Failure, SkeletonRows } from "../ui/states.tsx";
import { Command, CopyButton } from "../ui/text.tsx";
import "./connect.css";

type MadeKey = KeyResource & { secret: string };

export function ConnectScreen() {
  const status = useQuery(statusQuery);
  const [made, setMade] = useState<MadeKey>();
  const [model, setModel] = useState<string>();
  const call = useFirstCall(made?.id);
  const models = textModels(status.data);
  const chosen = model ?? models[0];
  return (
    <>
      <PageHead title="Connect" note="Point a client here, and see its first call arrive" />
      {status.data === undefined ? (
        status.error === null ? (
          <div className="panel">
            <SkeletonRows rows={5} />
          </div>
        ) : (
          <Failure error={status.error} retry={() => void status.refetch()} />
        )
      ) : (
        <div className="stack">
          <section className="panel" aria-labelledby="connect-key">
            <div className="panel-head">
              <h2 id="connect-key">Address and key</h2>
            </div>
            <dl className="connect-facts">
              <div>
                <dt>Address</dt>
                <dd>
                  <Command label="Copy address">{`${location.origin}/v1`}</Command>
                </dd>
              </div>
              <div>
                <dt id="connect-model">Model</dt>
                <dd>
                  {chosen === undefined ? (
                    <span className="soft">
                      No model is served. <Command>npx lineshaft models</Command> shows which can be taken.
                    </span>
                  ) : models.length === 1 ? (
                    <Command label="Copy model">{chosen}</Command>
                  ) : (
                    <select
                      className="input"
                      aria-labelledby="connect-model"
                      value={chosen}
                      onChange={(event) => setModel(event.target.value)}
                    >
                      {models.map((name) => (
                        <option key={name}>{name}</option>
                      ))}
                    </select>
                  )}
                </dd>
              </div>
              <div>
                <dt>Key</dt>
                <dd>
                  {made !== undefined ? (
                    <MadeKey made={made} onAnother={() => setMade(undefined)} />
                  ) : status.data.role === "owner" ? (
                    <MakeKey onMade={setMade} />
                  ) : (
                    <span className="soft">
                      Only an owner makes keys. Ask one, or use the key that you signed in with in place of{" "}
                      {keyPlaceholder}.
                    </span>
                  )}
                </dd>
              </div>
            </dl>
            {status.data.role === "owner" ? <FirstCall made={made} call={call} /> : null}
          </section>
          <Snippets
            secret={made?.secret ?? keyPlaceholder}
            model={chosen ?? "MODEL"}
            context={contextOf(status.data, chosen)}
          />
        </div>
      )}
    </>
  );
}

/** The longest context of a model's endpoints in tokens. Undefined when they do not report it. */
function contextOf(status: Status, model: string | undefined): number | undefined {
  const known = status.deployments
    .filter((each) => each.name === model)
    .flatMap((each) => each.endpoints.map((endpoint) => endpoint.context_tokens ?? 0));
  const longest = Math.max(0, ...known);
  return longest === 0 ? undefined : longest;
}

function MakeKey({ onMade }: { onMade: (key: MadeKey) => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("my client");
  const [attempt, setAttempt] = useState(() => crypto.randomUUID());
  const make = useMutation({
    mutationFn: () =>
      getJson<MadeKey>("/api/keys", {
        method: "POST",
        body: { name: name.trim(), role: "member" },
        idempotencyKey: attempt,
      }),
    onSuccess: (key) => {
      onMade(key);
      return client.invalidateQueries({ queryKey: ["keys"] });
    },
  });
  return (
    <form
      className="make-key"
      onSubmit={(event) => {
        event.preventDefault();
        if (!make.isPending && name.trim() !== "") make.mutate();
      }}
    >
      <input
        className="input"
        aria-label="Name of the key"
        value={name}
        maxLength={100}
        onChange={(event) => {
          setName(event.target.value);
          setAttempt(crypto.randomUUID());
        }}
      />
      <button type="submit" className="button primary" disabled={make.isPending || name.trim() === ""}>
        {make.isPending ? "One moment" : "Make a key"}
      </button>
      <span className="muted">A member's key: it may call models, start runs and read its project.</span>
      {make.error === null ? null : <Failure error={make.error} />}
    </form>
  );
}

function MadeKey({ made, onAnother }: { made: MadeKey; onAnother: () => void }) {
  return (
    <span className="made-key">
      <Command label="Copy key">{made.secret}</Command>
      <span className="muted">
        Shown only now. It stands in the lines below;{" "}
        <Link to="/access" className="text">
          Access
        </Link>{" "}
        revokes it.
      </span>
      <button type="button" className="button small bare" onClick={onAnother}>
        Make another
      </button>
    </span>
  );
}

function Snippets({ secret, model, context }: { secret: string; model: string; context: number | undefined }) {
  const client = clientOf(useSearch({ from: "/connect" }).client);
  const navigate = useNavigate({ from: "/connect" });
  const blocks = client.blocks({ origin: location.origin, key: secret, model });
  return (
    <section className="panel" aria-labelledby="connect-client">
      <div className="panel-head">
        <h2 id="connect-client">Lines to paste</h2>
      </div>
      <div className="panel-body connect-body">
        <div className="connect-clients" role="group" aria-label="Client">
          {clients.map(({ id, name }) => (
            <button
              key={id}
              type="button"
              className="button small"
              aria-pressed={id === client.id}
              onClick={() => void navigate({ search: { client: id }, replace: true, resetScroll: false })}
            >
              {name}
            </button>
          ))}
        </div>
        {blocks.map((block) => (
          <Snippet key={block.where} block={block} />
        ))}
        {client.note === undefined ? null : <p className="soft">{client.note}</p>}
        {client.contextTokens === undefined ? null : (
          <p className={context !== undefined && context < client.contextTokens ? "warn" : "soft"}>
            Coding agents begin with prompts of about 8,000 tokens, so that a context of {full(client.contextTokens)} or
            more is needed.
            {context === undefined ? null : ` That of ${model} is ${full(context)}.`}
          </p>
        )}
        <p className="muted foot-note">
          Any other client that speaks OpenAI's chat completions works with this address and key. Clients that speak
          other protocols are not served yet: Claude Code and Anthropic's SDK (Messages), Codex (Responses), Gemini CLI,
          and clients of MCP and of Managed Agents.
        </p>
      </div>
    </section>
  );
}

function Snippet({ block }: { block: Block }) {
  return (
    <figure className="snippet">
      <figcaption>
        {block.where}
        <CopyButton text={block.text} label={`Copy lines for ${block.where}`} />
      </figcaption>
      <pre tabIndex={0} aria-label={block.where}>
        {block.text}
      </pre>
    </figure>
  );
}
