// The scheduler's shell: tells it what happens (endpoints, KV events, facts, calls), carries out what it answers, and lets a
// call wait until it is placed or refused. The scheduler itself only decides; everything with a socket or a clock is here and
// in the files beside this one.
import type { EngineRegistry, RuntimeFact } from "../../engines/index.ts";
import {
  type Call,
  type CallTimings,
  type CallUsage,
  type Carrier,
  createScheduler,
  type Decision,
  defaultPolicy,
  type EndpointFault,
  type EndpointOutcome,
  makePolicy,
  type PdAction,
  type PdEvent,
  type Scheduler,
  type SchedulerAction,
  type SchedulerEvent,
  type SchedulerSnapshot,
  seededRng,
  tickMs,
} from "../../scheduler/index.ts";
import type { Alarms, Logger, Metrics } from "../../telemetry/index.ts";
import type { LineshaftError } from "../../errors/index.ts";
import { notPlaced, whyAborted } from "../refusals.ts";
import type { Soon } from "../soon.ts";
import { EndpointFeed } from "./endpointFeed.ts";
import { KvHinter } from "./hints.ts";

interface DispatcherOptions {
  engines: EngineRegistry;
  metrics: Metrics;
  log: Logger;
  alarms: Alarms;
  /** Name among the gateways that share load. */
  gateway: string;
  /** Carries load between gateways. Absent: this gateway is alone. */
  carrier?: Carrier | undefined;
  /** Placement policy of deployments that name none. */
  policy?: string | undefined;
}

/** How a call that has been placed ended, as far as the scheduler is concerned. */
interface CallEnding {
  reason: "done" | "cancelled" | "failed";
  usage?: CallUsage | undefined;
  timings?: CallTimings | undefined;
}

/** A call from `place` to `ended`. */
interface UnderWay {
  call: Call;
  /** What was decided of it, until its caller has it. */
  decided: { decision: Decision; refusal?: undefined } | { decision?: undefined; refusal: LineshaftError } | undefined;
  /** It has its place. */
  isPlaced: boolean;
  /** Resolves or rejects the wait for a place; undefined while nothing waits. */
  waiter: PromiseWithResolvers<Decision> | undefined;
  /** The endpoint that holds its program's older state, which this call's new state supersedes. */
  superseded: string | undefined;
  /** What carries out the actions for its two legs, and the actions that came before it was there. */
  onSplit: ((action: PdAction) => void) | undefined;
  early: PdAction[];
}

const faultWords: Record<EndpointFault, string> = {
  connect: "it cannot be reached",
  timeout: "it accepts calls and does not answer",
  failure: "its calls fail",
  garbage: "its answers cannot be read",
  refused: "it refuses Lineshaft's key, or does not know the model",
};

type EventBody = SchedulerEvent extends infer Event ? (Event extends unknown ? Omit<Event, "at"> : never) : never;

export class Dispatcher {
  readonly #log: Logger;
  readonly #engines: EngineRegistry;
  readonly #metrics: Metrics;
  readonly #alarms: Alarms;
  readonly #scheduler: Scheduler;
  readonly #feed: EndpointFeed;
  readonly #hinter: KvHinter;
  readonly #carrier: Carrier | undefined;
  readonly #underWay = new Map<string, UnderWay>();
  readonly #stops: (() => void)[] = [];

  constructor({ engines, metrics, log, alarms, gateway, carrier, policy = defaultPolicy }: DispatcherOptions) {
    this.#log = log;
    this.#engines = engines;
    this.#metrics = metrics;
    this.#alarms = alarms;
    this.#carrier = carrier;
    this.#scheduler = createScheduler({
      rng: seededRng(1),
      gateway,
      shareLoad: carrier !== undefined,
      policy: (deployment) => makePolicy(engines.settingsOf(deployment).placement ?? policy),
    });
    this.#hinter = new KvHinter({ engines, metrics, log });
    this.#feed = new EndpointFeed(engines, log, (event) => this.#apply(event));
    const timer = setInterval(() => this.#carryOut(this.#scheduler.tick(performance.now())), tickMs);
    timer.unref();
    this.#stops.push(() => clearInterval(timer));
    if (carrier) this.#stops.push(carrier.subscribe((message) => this.#apply({ type: "peer_load", message })));
    this.#stops.push(
      engines.onChange((change) => {
        if (change.type === "removed") {
          const { endpoint: subject, organisation } = change.endpoint;
          this.#alarms.clear({ code: "endpoint_ejected", subject, organisation });
        }
        if (change.type !== "configured") return;
        this.#scheduler.setPolicy(change.deployment, engines.settingsOf(change.deployment).placement ?? policy);
      }),
    );
  }

  /** The endpoint of a deployment that served a program last: it has the tokens of the conversation. */
  lastOf(program: string | undefined, deployment: string): string | undefined {
    return program === undefined ? undefined : this.#scheduler.programs.get(program, deployment)?.at?.spec.id;
  }

  /**
   * Where the call goes: at once where its turn has come, else once it comes. Throws LineshaftError when it is refused or no longer wanted,
   * and nothing is left of it then. After an answer, `ended` must be called exactly once.
   */
  place(call: Call, signal: AbortSignal): Soon<Decision> {
    if (signal.aborted) throw whyAborted(signal);
    const entry: UnderWay = {
      call,
      decided: undefined,
      isPlaced: false,
      waiter: undefined,
      superseded: undefined,
      onSplit: undefined,
      early: [],
    };
    this.#underWay.set(call.id, entry);
    try {
      this.#carryOut(this.#scheduler.decide(call, performance.now()));
    } catch (error) {
      this.#underWay.delete(call.id);
      throw error;
    }
    const { decided } = entry;
    if (!decided) return this.#turn(entry, signal);
    if (decided.decision) return decided.decision;
    this.#underWay.delete(call.id);
    throw decided.refusal;
  }

  /** Waits for the turn of a call that is queued. */
  async #turn(entry: UnderWay, signal: AbortSignal): Promise<Decision> {
    const { id } = entry.call;
    const waiter = (entry.waiter = Promise.withResolvers<Decision>());
    const withdraw = () => {
      this.#apply({ type: "call_withdrawn", call: id });
      // From here on a place that is found for it is given back.
      this.#underWay.delete(id);
      waiter.reject(whyAborted(signal));
    };
    signal.addEventListener("abort", withdraw, { once: true });
    try {
      return await waiter.promise;
    } catch (error) {
      this.#underWay.delete(id);
      throw error;
    } finally {
      signal.removeEventListener("abort", withdraw);
    }
  }

  /**
   * Before a placed call is sent, the KV that its program has at another endpoint is saved where the chosen endpoint can read it. This
   * is done however little it is, because the decision counted on it and the older state is given up afterwards.
   */
  async bring({ bring }: Decision, program: string | undefined): Promise<void> {
    if (!bring || program === undefined) return;
    await this.#hinter.send(bring.endpoint, { verb: "share", program });
  }

  /**
   * The call has produced its first token, or the predicted time for it has passed. The state that its new state supersedes is given up
   * now. It is saved first where it can be, because a client's session has one name for all of its agents, and another of them may go
   * on from that state.
   */
  prefilled(call: string, cachedTokens?: number): void {
    const entry = this.#underWay.get(call);
    if (entry?.superseded) {
      void this.#hinter.send(entry.superseded, { verb: "demote", program: entry.call.program! });
      entry.superseded = undefined;
    }
    this.#apply({ type: "call_prefilled", call, ...(cachedTokens !== undefined && { cachedTokens }) });
  }

  ended(call: string, { reason, usage, timings }: CallEnding): void {
    this.#apply({ type: "call_ended", call, reason, ...(usage && { usage }), ...(timings && { timings }) });
    this.#underWay.delete(call);
  }

  /** How a placed call went at an endpoint, which decides whether further calls are sent there. To be called before `ended`. */
  outcome(call: string, endpoint: string, outcome: EndpointOutcome): void {
    this.#apply({ type: "endpoint_outcome", call, endpoint, outcome });
  }

  /** Whether an endpoint may be given calls now. */
  takesCalls(endpoint: string): boolean {
    const state = this.#scheduler.endpoints.get(endpoint);
    return state?.health === "ready" && state.ejected !== true;
  }

  /** Usage as it is billed: in a PD call the prefill leg's count of cached tokens is taken. */
  billed<Used extends CallUsage>(call: string, usage: Used): Used {
    const { cachedTokens } = this.#scheduler.billed(call, usage);
    return cachedTokens === usage.cachedTokens ? usage : { ...usage, cachedTokens };
  }

  /** From now on `onAction` is called for every action of a split call, first for those that were decided already. */
  follow(call: string, onAction: (action: PdAction) => void): void {
    const entry = this.#underWay.get(call);
    if (!entry) return;
    entry.onSplit = onAction;
    for (const action of entry.early.splice(0)) onAction(action);
  }

  /** Tells the scheduler what has happened to a split call. */
  split(call: string, event: PdEvent): void {
    this.#apply({ type: "pd", call, event });
  }

  /** Tells the scheduler a fact of the agent runtime, which no router could see. */
  fact(fact: RuntimeFact): void {
    this.#apply({ type: "fact", fact });
  }

  snapshot(): SchedulerSnapshot {
    return this.#scheduler.snapshot();
  }

  close(): void {
    for (const stop of this.#stops.splice(0)) stop();
    this.#feed.close();
  }

  #apply(event: EventBody): void {
    this.#carryOut(this.#scheduler.apply({ ...event, at: performance.now() } as SchedulerEvent));
  }

  #carryOut(actions: SchedulerAction[]): void {
    for (const action of actions) {
      switch (action.type) {
        case "place":
          this.#placed(action.call, action.decision);
          break;
        case "refuse":
          this.#refused(action);
          break;
        case "kv":
          if (!this.#supersedes(action)) void this.#hinter.send(action.endpoint, action);
          break;
        case "share_load":
          this.#carrier?.publish(action.message);
          break;
        case "replay_kv":
          this.#feed.replay(action.endpoint);
          break;
        case "pause_program":
        case "resume_program":
          this.#log.info({ program: action.program, reason: action.reason }, action.type.replace("_", " "));
          break;
        case "queued":
          this.#log.debug(
            { call: action.call, position: action.position, expectedMs: action.expectedMs },
            "a call waits",
          );
          break;
        case "endpoint_standing":
          this.#standing(action);
          break;
        default:
          this.#splitAction(action);
      }
    }
  }

  #placed(call: string, decision: Decision): void {
    const entry = this.#underWay.get(call);
    if (!entry || entry.isPlaced) {
      // The call no longer waits for its place, so its load is released.
      this.#apply({ type: "call_ended", call, reason: "cancelled" });
      return;
    }
    entry.isPlaced = true;
    if (entry.waiter) entry.waiter.resolve(decision);
    else entry.decided = { decision };
  }

  #refused(action: Extract<SchedulerAction, { type: "refuse" }>): void {
    const entry = this.#underWay.get(action.call);
    if (!entry || entry.isPlaced) return;
    const refusal = notPlaced(action);
    if (entry.waiter) entry.waiter.reject(refusal);
    else entry.decided = { refusal };
  }

  /** Whether a drop gives up a state that a call's new state supersedes. Such a drop waits until the new state exists. */
  #supersedes(action: Extract<SchedulerAction, { type: "kv" }>): boolean {
    if (action.verb !== "drop" || action.call === undefined) return false;
    const entry = this.#underWay.get(action.call);
    if (!entry) return false;
    entry.superseded = action.endpoint;
    return true;
  }

  #standing({ endpoint, standing, fault, forMs }: Extract<SchedulerAction, { type: "endpoint_standing" }>): void {
    this.#metrics.engineEjected(endpoint, standing !== "serving", fault);
    this.#log.info({ endpoint, standing, fault, forMs }, "what is thought of an endpoint has changed");
    const known = this.#engines.get(endpoint);
    const organisation = known?.organisation;
    const alarm = { code: "endpoint_ejected", subject: endpoint, organisation };
    if (known) known.standing = standing;
    if (standing === "serving") this.#alarms.clear(alarm);
    if (known && standing !== "trial") known.lastError = fault && `Calls are kept away from it: ${faultWords[fault]}.`;
    if (fault === undefined) return;
    const seconds = Math.round((forMs ?? 0) / 1000);
    this.#alarms.raise({
      ...alarm,
      message: `Calls are kept away from the endpoint ${endpoint} for ${seconds} s: ${faultWords[fault]}. It is tried again by itself; look at its log.`,
      clears: true,
    });
  }

  #splitAction(action: PdAction): void {
    const entry = this.#underWay.get(action.call);
    if (entry?.onSplit) entry.onSplit(action);
    else entry?.early.push(action);
  }
}
