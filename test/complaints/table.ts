// What users of other gateways complain about, and the tests that show that Lineshaft does not do it. A test may stand beside the code that
// it is about; it is named here by its file and the beginning of its title. `npm run test:complaints` runs them all by this table.

export interface Complaint {
  /** The complaint, in one sentence. */
  what: string;
  /** Projects and issues or CVEs. */
  from: string;
  /** Files, and the beginnings of the titles of their tests. Empty where Lineshaft has no such part: `because` says so. */
  tests: readonly (readonly [file: string, title: string])[];
  because?: string;
}

const money = "src/gateway/money.test.ts";
const ledger = "src/ledger/ledger.test.ts";
const replay = "src/ledger/posting/replay.test.ts";
const pricing = "src/ledger/pricing.test.ts";
const admission = "src/ledger/admission/admission.test.ts";
const here = "test/complaints/complaints.test.ts";

export const complaints: readonly Complaint[] = [
  {
    what: "Concurrent calls all read the same spent sum, and pass a budget together.",
    from: "LiteLLM 34732, 26672, 40095; Bifrost 1120",
    tests: [
      [money, "50 parallel calls never exceed a small budget"],
      [ledger, "parallel calls of two processes never pass a budget"],
      ["src/ledger/leases/hammer.test.ts", "of six processes that ask for the last money at once, one gets it"],
    ],
  },
  {
    what: "A reservation of a process that died stays, and the budget is full without having been spent.",
    from: "LiteLLM 36926",
    tests: [[replay, "what a dead process held is voided or estimated"]],
  },
  {
    what: "A stream that the client cuts is recorded with no usage, while the provider bills all of it.",
    from: "LiteLLM 14457, 37558, 36008, 33736, 39893",
    tests: [
      [money, "mid-stream: the engine is told, and what passed is settled"],
      [here, "a stream that its client cuts after some chunks is settled for what passed"],
    ],
  },
  {
    what: "Cached tokens are priced in full, or twice, when an answer streams or changes its protocol.",
    from: "LiteLLM 11789, 35127, 31714, 41424; Langfuse 10592, 12306",
    tests: [
      [money, "the price of a call"],
      [here, "cached tokens cost the same by every protocol, whole and streamed"],
      ["src/gateway/golden.test.ts", "the same price and the same counts"],
    ],
  },
  {
    what: "A limit of tokens a minute holds for each replica alone, and parallel calls pass it.",
    from: "LiteLLM 40291, 27736, 18730",
    tests: [
      [
        "src/governance/usage/lock.test.ts",
        "eight connections that ask and give back at once never hold more than the limit",
      ],
      ["src/governance/usage/share.test.ts", "processes that are away from the database go on within their shares"],
    ],
  },
  {
    what: "A deadlock in Postgres drops increments of what was spent.",
    from: "LiteLLM 27989, 34887",
    tests: [[ledger, "16 writers settling over many accounts and budgets never deadlock"]],
  },
  {
    what: "A call that is translated from one protocol to another is logged twice.",
    from: "LiteLLM 15740",
    tests: [[here, "one call is one record, one attempt and one settlement by every protocol"]],
  },
  {
    what: "Attempts before a fallback are priced at the final model.",
    from: "LiteLLM 39294, 39455",
    tests: [
      ["src/gateway/billed.test.ts", "a retry is an attempt of its own: each is held, settled and recorded"],
      [
        "src/gateway/fallbacks.test.ts",
        "that fails too leaves the call with the last failure, and all attempts with their rows",
      ],
    ],
  },
  {
    what: "The proxy's own key, or the client's, is sent on to the provider.",
    from: "LiteLLM 32202, 38114",
    tests: [
      ["src/gateway/secrets.test.ts", "a client's key, headers and words stay where they belong"],
      [here, "no credential of a client reaches an engine, by whatever header and protocol it came"],
    ],
  },
  {
    what: "The budget is checked by a tag in the body, and the cost is booked by a header.",
    from: "LiteLLM 27480, 27571, 27784",
    tests: [[money, "is the key's project and nothing a client says"]],
  },
  {
    what: "A host that a header names is fetched, private addresses among them, and redirects are followed.",
    from: "Portkey 1718, 1597; CVE-2025-66405",
    tests: [
      ["src/egress/egress.test.ts", "a redirect is an answer, and is not followed"],
      ["src/egress/egress.test.ts", "metadata services are refused as configured addresses too"],
      ["src/egress/addresses.test.ts", "the door itself refuses, whatever let the address through"],
      ["test/rooms.test.ts", "the network has one door"],
      [here, "a host that a header names is not asked, and the engine's own address is"],
    ],
  },
  {
    what: "A Host header, or a path that a wildcard route takes, leads to routes of administrators.",
    from: "LiteLLM: CVE-2026-49468, CVE-2026-47101, CVE-2026-47102",
    tests: [
      [here, "a Host header opens nothing, and no spelling of a path leads around its check"],
      ["test/hostile/authorisation.test.ts", "the table has every route"],
    ],
  },
  {
    what: "SQL is injected by a key before authentication, and a test route starts commands.",
    from: "CVE-2026-42208, CVE-2026-42271, CVE-2026-30623",
    tests: [
      [here, "text that is SQL is text: as a key, as a model and as an id"],
      ["test/hostile/authorisation.test.ts", "the table has every route"],
    ],
  },
  {
    what: "Two tokens share one key of a cache, a route has no check of roles, a hash works as a password.",
    from: "CVE-2026-35030, CVE-2026-35029, GHSA-69x8-hrgq-fjj8",
    tests: [
      ["src/governance/identity/identity.test.ts", "no two tokens share an HMAC"],
      ["src/governance/identity/identity.test.ts", "nothing in the database is the secret, or opens anything"],
    ],
  },
  {
    what: "A passthrough route skips the budget, and a budget that was set is not saved.",
    from: "Bifrost 5673, 2873",
    tests: [
      [money, "nothing reaches an engine without a hold, by whatever route"],
      [here, "a budget that was set is there, and refuses the next call of every protocol"],
    ],
  },
  {
    what: "A key against duplicates is claimed before the write, so that a retried event is counted zero times.",
    from: "OpenMeter 5118",
    tests: [
      [replay, "a replay that dies half way is finished by the next one, each attempt once"],
      [replay, "two that replay at once: one does it"],
    ],
  },
  {
    what: "While the store is away, what is recorded is lost.",
    from: "Langfuse 6380, 10367, 7986",
    tests: [
      [
        "src/ledger/posting/poster.test.ts",
        "with the database away it waits, readers are told, and everything is posted once it is back",
      ],
      ["test/hostile/frozenDatabase.test.ts", "calls go on, lists and /healthz answer 503 in time"],
    ],
  },
  {
    what: "Memory grows until the process dies, and the removal of old rows loads or locks so much that calls stop.",
    from: "LiteLLM 12685, 38193, 27954, 21908, 34326; agentgateway 3184",
    tests: [
      [here, "calls leave nothing behind in memory"],
      [here, "while what is kept no longer is removed, calls, responses, files and batches go on"],
      ["test/hostile/memory.test.ts", "bodies of one key that are under way are bounded together"],
      ["test/hostile/memory.test.ts", "a list of models without end is read to its bound"],
    ],
  },
  {
    what: "A header with a secret stands in logs and spans.",
    from: "LiteLLM, incident of 18 March 2026",
    tests: [["src/gateway/secrets.test.ts", "a client's key, headers and words stay where they belong"]],
  },
  {
    what: "A price that is missing or wrong becomes 0, and one wrong price locks a user out until rows are deleted.",
    from: "LiteLLM 20615, incident of 27 January 2026",
    tests: [
      [money, "a model without a price is refused, a price of 0 is a price"],
      ["src/ledger/rates.test.ts", "a gap is no price, never a price of zero"],
      [here, "a wrong price uses up a budget, and the right price with a higher limit lets calls go on"],
    ],
  },
  {
    what: "A reload of the catalogue changes prices and not who may call.",
    from: "LiteLLM, incident of 23 February 2026",
    tests: [
      ["src/ledger/rates.test.ts", "a price that another gateway set is used here five seconds later"],
      ["test/complaints/complaints.test.ts", "new prices and new models change what calls cost, and not who may call"],
    ],
  },
  {
    what: "A limit of tokens counts for the next call only, not for the stream that passes it.",
    from: "Envoy AI Gateway 2394; agentgateway/website 962; Bifrost 3547, 5770",
    tests: [
      ["src/gateway/progressive.test.ts", "ends at the last token that is paid for, by the name of the budget"],
      [admission, "extensions go to the last token of the budget, then the answer is cut by its name"],
    ],
  },
  {
    what: "A release in the supply chain stole credentials by a script of its own.",
    from: "LiteLLM 24518",
    tests: [
      [here, "every package is locked by a hash, and none runs a script at its installation that was not looked at"],
    ],
  },
  {
    what: "The payment service calls a resent event a duplicate, and that is taken for a failure.",
    from: "Langfuse 16292",
    tests: [],
    because: "Nothing is sent to a payment service.",
  },
  {
    what: "A wallet is credited, then the payment fails, and nothing reacts.",
    from: "Lago 5947",
    tests: [],
    because: "There are no wallets; a budget is a limit, not money that was paid in.",
  },
  {
    what: "Holds for the worst case starve agents, which ask for 32,000 tokens and use 300.",
    from: "LiteLLM 38647, 27735, 40050",
    tests: [
      [admission, "a hold covers the prompt and a first window, not the whole limit"],
      [here, "ten calls with a limit of 32,000 tokens run at once on a budget that pays for one such limit"],
    ],
  },
  {
    what: "Prompts above 272,000 tokens are priced as short ones.",
    from: "LiteLLM 40002, 26672",
    tests: [[pricing, "published prices, to the nano"]],
  },
  {
    what: "Marks of the prompt's cache are lost where a call changes its protocol.",
    from: "LiteLLM 41424; kube-agents 776; hermes-agent 56776",
    tests: [
      ["src/gateway/protocols/messages/messages.test.ts", "marks go to engines that read them"],
      ["src/engines/wire/chat/write.test.ts", "marks are written for engines that read them alone"],
    ],
  },
  {
    what: "The state of Responses is lost at a restart, or at another process.",
    from: "CLIProxyAPI 2596; codex-pooler 318",
    tests: [
      [
        "src/gateway/responses/state.test.ts",
        "a second process of the same database goes on where the first one stopped",
      ],
      ["test/responses.test.ts", "a process that is killed leaves no response in progress"],
      ["src/api/http/socket.test.ts", "state moves from the WebSocket to HTTP and back, stored or not"],
    ],
  },
  {
    what: "A retried request of a client is answered 429 for minutes, although its budget is spent for good.",
    from: "Claude Code's retries, seen with LiteLLM",
    tests: [[money, "a refusal tells clients not to try again by themselves"]],
  },
  {
    what: "The last word of a provider is lost, and clients that retry by its wording do not.",
    from: "Claude Code, Codex",
    tests: [[money, "429 of the engine keeps its Retry-After"]],
  },
  {
    what: "A tool that changes something runs twice when its run is resumed: 209 of 209 refunds were doubled.",
    from: "agent-framework 3938",
    tests: [
      ["src/agents/agents.test.ts", "30 runs at once: each has exactly one order"],
      ["test/hostile/effects.test.ts", "an effect that answers "],
    ],
  },
  {
    what: "An agent spends far more than its limit.",
    from: "paperclip 11276; open-managed-agents 244",
    tests: [
      [
        "src/agents/agents.test.ts",
        "limits: seconds end a run in the middle of a step; money becomes the run's own budget",
      ],
    ],
  },
  {
    what: "An approval is consumed, and the run that it was for fails.",
    from: "agent-framework 7458",
    tests: [],
    because: "No tool waits for a person's approval yet.",
  },
  {
    what: "The usage of the span around an agent's calls is counted beside that of the calls, and a trace costs twice as much.",
    from: "traceroot 1172, 1610",
    tests: [],
    because: "No spans are taken or sent: what a run used is the sum of its calls' own records.",
  },
  {
    what: "A decision on a tool that was already used is delivered again, and the tool runs again.",
    from: "agno 10086, 9869",
    tests: [],
    because: "No tool waits for a person's approval yet.",
  },
  {
    what: "A rule about an agent's past can never fire, or allows what its author meant to forbid, and nothing says so.",
    from: "dogwood 15",
    tests: [],
    because: "There are no policies of users' own: what a role may do is a table in the code.",
  },
  {
    what: "An empty budget kills the work where it could pause and ask.",
    from: "LifeOS 1176",
    tests: [],
    because: "A run whose budget is used up ends by the budget's name; it does not pause yet.",
  },
  {
    what: "A policy that fails lets a call through, or refuses it without a trace.",
    from: "cmcp 160",
    tests: [],
    because: "There are no policies of users' own: what a role may do is a table in the code.",
  },
];
