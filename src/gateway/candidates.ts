// Which endpoints can take a request, and what each of them is sent. The replicas of one model may differ: in their software and so in
// the fields that they take, in the media that they read, in the length of their context. A request is therefore shaped for the endpoint
// that was chosen, and an endpoint that cannot take it is no candidate. The decision, or the refusal, gives the reason.
//
// Equal replicas are the usual case, so a shape is made once for all endpoints that say the same of themselves. It is looked up again at
// every placement: an endpoint that has joined or changed while the call waited is judged by what it says then.
import { LineshaftError } from "../errors/index.ts";
import type { RegisteredEndpoint } from "../engines/index.ts";
import type { Medium, ModelCall } from "./modelCall.ts";
import type { PromptFacts } from "./scheduling/prompts.ts";

/** Reasons that are given in one refusal, at most. */
const reasonsShown = 4;

/** What an endpoint says of itself that decides what it can be sent. */
interface Takes {
  speaks: readonly string[] | undefined;
  fields: readonly string[] | undefined;
  media: readonly string[] | undefined;
  allowed: readonly string[];
}

/** The call as an endpoint can take it, or why the endpoint cannot take it. */
type Fitted = { asked: ModelCall; refusal?: undefined } | { refusal: LineshaftError };

/** One request in the shapes that endpoints can take. */
export class RequestShapes {
  readonly #asked: ModelCall;
  readonly #made: { takes: Takes; shape: Fitted }[] = [];

  constructor(asked: ModelCall) {
    this.#asked = asked;
  }

  /** The request for this endpoint, by what the endpoint says of itself now. */
  at(endpoint: RegisteredEndpoint): Fitted {
    const takes = takesOf(endpoint);
    const known = this.#made.find((one) => sameTakes(one.takes, takes));
    if (known) return known.shape;
    const shape = this.#shaped(endpoint);
    this.#made.push({ takes, shape });
    return shape;
  }

  #shaped(endpoint: RegisteredEndpoint): Fitted {
    try {
      return { asked: this.#asked.fitted(endpoint) };
    } catch (error) {
      if (error instanceof LineshaftError) return { refusal: error };
      throw error;
    }
  }
}

/** The endpoints of a call's model that can take it, and those that cannot with the reason. */
export class Candidates {
  readonly #shapes: RequestShapes;
  readonly #excluded = new Map<string, string>();
  #able: RegisteredEndpoint[];
  /** Excluded by a prompt's guessed length. */
  #guessed: RegisteredEndpoint[] = [];
  /** Endpoints that take no calls for a time, with the reason: passed over by the next placement, and no less candidates for that. */
  busy: ReadonlyMap<string, string> = new Map();

  /** Throws the LineshaftError that names what is wrong when no endpoint that answers calls can take the request. */
  constructor(shapes: RequestShapes, endpoints: readonly RegisteredEndpoint[]) {
    this.#shapes = shapes;
    const refused: { endpoint: string; refusal: LineshaftError }[] = [];
    this.#able = endpoints.filter((endpoint) => {
      const { refusal } = shapes.at(endpoint);
      if (!refusal) return true;
      this.#excluded.set(endpoint.endpoint, reasonOf(refusal));
      refused.push({ endpoint: endpoint.endpoint, refusal });
      return false;
    });
    if (refused.length > 0 && this.answering.length === 0) throw refusalOf(refused);
  }

  /** Endpoints that can take the request, those that only prefill included. Never empty. */
  get endpoints(): readonly RegisteredEndpoint[] {
    return this.#able;
  }

  /** The same without those that only prefill. */
  get answering(): RegisteredEndpoint[] {
    return this.#able.filter(({ role }) => role !== "prefill");
  }

  /** Why endpoints were passed over, by their names. */
  get excluded(): ReadonlyMap<string, string> {
    return this.busy.size === 0 ? this.#excluded : new Map([...this.busy, ...this.#excluded]);
  }

  /** Media that the request's messages name. All endpoints that can take the request read the same ones. */
  get media(): readonly Medium[] {
    const shape = this.#shapes.at(this.#able[0]!);
    return shape.refusal ? [] : shape.asked.media;
  }

  /**
   * The call for an endpoint that was chosen. Undefined when the endpoint cannot take the request: it has joined, or said something new
   * of itself, after the call was admitted. It is then excluded.
   */
  callAt(endpoint: RegisteredEndpoint): ModelCall | undefined {
    const shape = this.#shapes.at(endpoint);
    if (!shape.refusal) return shape.asked;
    this.#exclude(endpoint, reasonOf(shape.refusal));
    return undefined;
  }

  /**
   * Excludes endpoints whose context cannot hold the prompt and the output that was asked for, while another's can that is there. Where no
   * such endpoint is there, or all contexts are equal, nothing is excluded, and the engine judges the request itself. An exclusion by a
   * guessed prompt is taken back (`takeBack`) when the longer endpoints fail: a guess must not take an endpoint out of failover.
   */
  excludeShort(call: ModelCall, { promptTokens, counted }: Pick<PromptFacts, "promptTokens" | "counted">): void {
    if (this.#able.length < 2) return;
    const [first] = this.#able;
    if (this.#able.every((endpoint) => contextOf(endpoint) === contextOf(first!)) || call.hasMedia) return;
    // Each text of a call without output has a context of its own, and its engine judges it.
    if (call.kind !== "generate") return;
    const asked = call.outputLimit()?.tokens;
    const needed = ({ facts }: RegisteredEndpoint) =>
      promptTokens + (asked === undefined || call.limitIsUsual || facts?.capabilities.clipsOutput ? 1 : asked);
    const short = this.#able.filter((endpoint) => needed(endpoint) > contextOf(endpoint));
    if (!this.answering.some((endpoint) => !short.includes(endpoint) && endpoint.up !== false)) return;
    if (!counted) this.#guessed = short;
    for (const endpoint of short)
      this.#exclude(
        endpoint,
        `its context has ${contextOf(endpoint)} tokens, and this call needs about ${needed(endpoint)}.`,
      );
  }

  /** Takes endpoints back that were excluded by a guess; true when there were any. */
  takeBack(): boolean {
    const back = this.#guessed;
    this.#guessed = [];
    for (const { endpoint } of back) this.#excluded.delete(endpoint);
    this.#able = [...this.#able, ...back];
    return back.length > 0;
  }

  /**
   * An endpoint has refused the prompt as too long: excludes every endpoint whose context is no longer than its own. True when an
   * endpoint that answers calls is left.
   */
  excludeUpTo(refusing: RegisteredEndpoint): boolean {
    const most = contextOf(refusing);
    const longer = this.answering.some((endpoint) => contextOf(endpoint) > most);
    if (!longer) return false;
    this.#guessed = this.#guessed.filter((one) => contextOf(one) > most);
    for (const endpoint of this.#able.filter((one) => contextOf(one) <= most))
      this.#exclude(endpoint, `the prompt is too long for its context of ${most} tokens.`);
    return true;
  }

  /** Excludes every endpoint that is not among these. */
  keepOnly(kept: readonly RegisteredEndpoint[], reason: string): void {
    this.#guessed = [];
    for (const endpoint of this.#able.filter((one) => !kept.includes(one))) this.#exclude(endpoint, reason);
  }

  #exclude(endpoint: RegisteredEndpoint, reason: string): void {
    this.#excluded.set(endpoint.endpoint, reason);
    this.#able = this.#able.filter((one) => one.endpoint !== endpoint.endpoint);
  }
}

/** Each exclusion as a sentence for a person; empty when there was none. */
export const exclusionsOf = (excluded: ReadonlyMap<string, string>): string =>
  [...excluded].map(([endpoint, reason]) => ` ${endpoint} was passed over: ${reason}`).join("");

/** An endpoint that does not say how long its context is counts as one that holds any call: it judges that itself. */
const contextOf = ({ facts }: RegisteredEndpoint): number => facts?.contextTokens ?? Number.POSITIVE_INFINITY;

function takesOf({ facts, allowFields }: RegisteredEndpoint): Takes {
  return {
    speaks: facts?.capabilities.speaks,
    fields: facts?.capabilities.fields,
    media: facts?.capabilities.media,
    allowed: allowFields,
  };
}

const sameTakes = (a: Takes, b: Takes): boolean =>
  sameList(a.speaks, b.speaks) &&
  sameList(a.fields, b.fields) &&
  sameList(a.media, b.media) &&
  sameList(a.allowed, b.allowed);

function sameList(a: readonly string[] | undefined, b: readonly string[] | undefined): boolean {
  if (a === b) return true;
  return a !== undefined && b !== undefined && a.length === b.length && a.every((item, place) => item === b[place]);
}

/** The reason without its hint: the hint is for a client whose call is refused, and here the call goes to another endpoint. */
const reasonOf = ({ message, hint }: LineshaftError): string =>
  hint === undefined ? message : message.replace(hint, "").trim();

/** One refusal for all endpoints: what they all refuse, or what each one does when they differ. */
function refusalOf(refused: readonly { endpoint: string; refusal: LineshaftError }[]): LineshaftError {
  const [first] = refused;
  const different = [...new Map(refused.map((one) => [one.refusal.message, one])).values()];
  if (different.length === 1) return first!.refusal;
  const { status, code, param, hint } = first!.refusal;
  const reasons = different.slice(0, reasonsShown).map(({ endpoint, refusal }) => `${endpoint}: ${reasonOf(refusal)}`);
  return new LineshaftError({
    status,
    code,
    param,
    hint,
    message: `No endpoint of the model takes the whole request. ${reasons.join(" ")}`,
  });
}
