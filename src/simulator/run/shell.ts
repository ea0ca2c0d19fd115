// The scheduler's caller inside a simulation, as the dispatcher is in the gateway: it reports events to the scheduler, and carries out the
// actions on modelled engines. It does not decide: where a call goes, when, in how many legs, what is brought first, and which calls wait
// or are refused are actions of the scheduler.
import type {
  CallTimings,
  Decision,
  PdAction,
  RefusalCode,
  Scheduler,
  SchedulerAction,
  SchedulerEvent,
} from "../../scheduler/index.ts";
import type { Engine } from "../engine/engine.ts";
import type { Task } from "../engine/task.ts";
import type { EventQueue } from "../events.ts";
import type { Fleet } from "../fleet.ts";
import type { SimCall, Workload } from "../types.ts";
import { type Attempt, callOfAttempt } from "./attempt.ts";
import { Balancer, News } from "./gateways.ts";
import { endpointSpec } from "./endpointSpec.ts";
import { KvHints } from "./kvHints.ts";
import { Legs } from "./legs.ts";
import type { World } from "./world.ts";

interface ShellHost {
  /** The attempt goes to `attempt.decoder`, in two legs when `attempt.prefiller` is set. */
  placed(attempt: Attempt, decision: Decision): void;
  /** The scheduler has refused the attempt, for this reason. */
  refused(attempt: Attempt, code: RefusalCode): void;
  /** The attempt's decoder has died before it could be given the call. */
  lost(attempt: Attempt): void;
}

export class Shell {
  readonly hints: KvHints;
  readonly #schedulers: readonly Scheduler[];
  readonly #engines: readonly Engine[];
  readonly #fleet: Fleet;
  readonly #blockTokens: number;
  readonly #queue: EventQueue;
  readonly #host: ShellHost;
  readonly #legs: Legs;
  readonly #balancer: Balancer;
  readonly #news: News;
  /** Number of a replica by the name of its endpoint. */
  readonly #numbers: ReadonlyMap<string, number>;
  /** By call: its attempt under way, waiting or placed. */
  readonly #attempts: (Attempt | undefined)[];
  /** By replica: how often it has started. */
  readonly #starts: number[];

  constructor(
    { schedulers, engines }: World,
    workload: Workload,
    fleet: Fleet,
    queue: EventQueue,
    seed: number,
    host: ShellHost,
  ) {
    this.#schedulers = schedulers;
    this.#engines = engines;
    this.#fleet = fleet;
    this.#blockTokens = workload.blockTokens;
    this.#queue = queue;
    this.#host = host;
    this.#legs = new Legs(fleet, engines, queue, {
      split: (attempt, event) => this.#tell(attempt.gateway, { at: queue.nowMs, type: "pd", call: attempt.id, event }),
      lost: (attempt) => host.lost(attempt),
    });
    this.#balancer = new Balancer(workload, fleet, seed);
    this.#news = new News(fleet.gateways, queue);
    this.#numbers = new Map(fleet.replicas.map(({ id }, number) => [id, number]));
    this.#attempts = Array.from({ length: workload.calls.length });
    this.#starts = fleet.replicas.map(() => 0);
    this.hints = new KvHints(workload, engines, fleet.programs);
  }

  /** Reports an event of an endpoint to every gateway and carries out the actions. */
  tellAll(event: SchedulerEvent): void {
    for (let gateway = 0; gateway < this.#schedulers.length; gateway++) this.#tell(gateway, event);
  }

  /** Reports an event to one gateway's scheduler and carries out the actions. */
  #tell(gateway: number, event: SchedulerEvent): void {
    this.#carryOut(gateway, this.#schedulers[gateway]!.apply(event));
  }

  tick(gateway: number): void {
    this.#carryOut(gateway, this.#schedulers[gateway]!.tick(this.#queue.nowMs));
  }

  /** A gateway hears another gateway's message of load. */
  heard(gateway: number, number: number): void {
    this.#tell(gateway, { at: this.#queue.nowMs, type: "peer_load", message: this.#news.heard(number) });
  }

  /** The replica serves from now on, with an empty cache. */
  join(replica: number): void {
    this.#legs.joined(replica);
    const epoch = this.#starts[replica]!++;
    const spec = endpointSpec(this.#fleet.replicas[replica]!, this.#fleet, this.#blockTokens, epoch);
    this.tellAll({ at: this.#queue.nowMs, type: "endpoint_joined", spec });
  }

  /** What the first gateway counts at a replica that it knows, with what it has heard of the others. */
  loadOf(replica: number): { kvTokens: number; prefillTokens: number; inFlight: number } {
    const { id } = this.#fleet.replicas[replica]!;
    return this.#schedulers[0]!.snapshot().endpoints.find(({ spec }) => spec.id === id)!.load;
  }

  /** Number of a replica by the name of its endpoint. */
  numberOf(endpoint: string): number {
    return this.#numbers.get(endpoint)!;
  }

  /** Asks the attempt's gateway where it goes. It is placed, queued or refused; other attempts may be placed with it. */
  ask(attempt: Attempt): void {
    const { sim } = attempt;
    this.#attempts[sim.index] = attempt;
    attempt.gateway = this.#balancer.gatewayOf(sim);
    const actions = this.#schedulers[attempt.gateway]!.decide(attempt, this.#queue.nowMs);
    this.#carryOut(attempt.gateway, actions);
  }

  /** The attempt that a task of an engine belongs to; undefined when that attempt is over, or has given the task up. */
  attemptOf(task: Task): Attempt | undefined {
    const attempt = this.#attempts[task.handle];
    return attempt?.task === task || attempt?.prefillTask === task ? attempt : undefined;
  }

  /** No attempt waits for this prefill leg any more: its KV is released. */
  dropLeg(engine: number, task: Task): void {
    if (task.leg === "prefill") this.#engines[engine]!.endLease(task);
  }

  /** A prefill leg has computed the prompt. */
  computed(attempt: Attempt, task: Task): void {
    this.#legs.computed(attempt, task);
  }

  /** The client has its first token. */
  answers(attempt: Attempt): void {
    if (attempt.answering) return;
    attempt.answering = true;
    this.hints.prefilled(attempt);
    this.#tell(attempt.gateway, { at: this.#queue.nowMs, type: "call_prefilled", call: attempt.id });
  }

  /** KV that was on its way has arrived at the decoder. */
  pulled(call: number, number: number): void {
    const attempt = this.#current(call, number);
    if (attempt !== undefined) this.#legs.pulled(attempt);
  }

  /** A state that an attempt waited for has been written. */
  brought(call: number, number: number): void {
    const attempt = this.#current(call, number);
    if (attempt !== undefined) this.#legs.brought(attempt);
  }

  /** The attempt has been answered to its end. `timings`: as the gateway sees them. */
  done(attempt: Attempt, cachedTokens: number, timings: CallTimings): void {
    this.#over(attempt);
    const { gateway, id: call, sim } = attempt;
    const usage = { promptTokens: sim.promptTokens, cachedTokens, outputTokens: sim.outputTokens };
    const learns = this.#fleet.speeds === "learned" && { timings };
    this.#tell(gateway, { at: this.#queue.nowMs, type: "call_ended", call, reason: "done", usage, ...learns });
  }

  /** The attempt has failed because its endpoint has died. */
  failed(attempt: Attempt): void {
    this.#over(attempt);
    const { gateway, id: call } = attempt;
    const endpoint = this.#fleet.replicas[attempt.decoder]!.id;
    const at = this.#queue.nowMs;
    this.#tell(gateway, { at, type: "endpoint_outcome", endpoint, call, outcome: "connect" });
    this.#tell(gateway, { at, type: "call_ended", call, reason: "failed" });
  }

  /** The attempt's deadline has come. Where the client has no first token yet it is stopped, and answered. */
  late(call: number, number: number): Attempt | undefined {
    const attempt = this.#current(call, number);
    if (attempt === undefined || attempt.answering) return undefined;
    this.#legs.stop(attempt);
    this.#over(attempt);
    const at = this.#queue.nowMs;
    this.#tell(attempt.gateway, { at, type: "call_ended", call: attempt.id, reason: "cancelled" });
    return attempt;
  }

  /** The tool's result, for which the conversation waited, is here. */
  resumed(call: SimCall): void {
    const before = this.hints.before(call);
    if (before?.then !== "tool") return;
    const fact = { type: "tool_ended", program: String(call.thread), tool: "tool" } as const;
    this.#tell(this.#balancer.gatewayOf(before), { at: this.#queue.nowMs, type: "fact", fact });
  }

  /** What the runtime knows of a conversation after a call: a tool runs now, or the run is over. */
  paused({ sim, gateway }: Attempt): void {
    const program = String(sim.thread);
    const at = this.#queue.nowMs;
    if (sim.then === "tool")
      this.#tell(gateway, { at, type: "fact", fact: { type: "tool_started", program, tool: "tool" } });
    if (sim.then !== "end") return;
    const ended = this.#schedulers[gateway]!.apply({ at, type: "fact", fact: { type: "run_ended", program } });
    for (const action of ended) {
      if (action.type === "kv") this.hints.runEnded(action, this.numberOf(action.endpoint));
      else this.#carryOut(gateway, [action]);
    }
  }

  /** A replica has died with the tasks that were inside. Returns the attempts that were to decode there. */
  died(replica: number, tasks: readonly Task[]): Attempt[] {
    this.#legs.died(replica);
    this.tellAll({
      at: this.#queue.nowMs,
      type: "endpoint_health",
      endpoint: this.#fleet.replicas[replica]!.id,
      health: "starting",
    });
    return this.#legs.lostAt(replica, tasks, (task) => this.attemptOf(task));
  }

  #over(attempt: Attempt): void {
    this.#attempts[attempt.sim.index] = undefined;
    this.hints.ended(attempt);
    this.#legs.over(attempt);
  }

  #current(call: number, number: number): Attempt | undefined {
    const attempt = this.#attempts[call];
    return attempt?.number === number ? attempt : undefined;
  }

  #byId(id: string): Attempt | undefined {
    const attempt = this.#attempts[callOfAttempt(id)];
    return attempt?.id === id ? attempt : undefined;
  }

  #carryOut(gateway: number, actions: readonly SchedulerAction[]): void {
    for (const action of actions) {
      switch (action.type) {
        case "place":
          this.#place(this.#byId(action.call)!, action.decision);
          break;
        case "refuse": {
          const attempt = this.#byId(action.call)!;
          this.#over(attempt);
          this.#host.refused(attempt, action.code);
          break;
        }
        case "kv":
          this.#wish(action);
          break;
        case "pause_program":
          this.hints.counts.pauses++;
          break;
        case "pd_prefill":
        case "pd_decode":
        case "pd_recompute":
        case "pd_abort":
        case "pd_fail":
        case "pd_release":
          this.#move(action);
          break;
        case "share_load":
          this.#news.send(gateway, action.message);
          break;
        case "queued":
        case "resume_program":
        case "endpoint_standing":
        case "replay_kv":
          break;
      }
    }
  }

  #wish(action: Extract<SchedulerAction, { type: "kv" }>): void {
    const attempt = action.call === undefined ? undefined : this.#byId(action.call);
    // What an attempt was to supersede stays when that attempt is over already.
    if (action.call !== undefined && attempt === undefined) return;
    this.hints.wish(action, this.numberOf(action.endpoint), attempt);
  }

  #place(attempt: Attempt, decision: Decision): void {
    const { chosen, prefill } = decision;
    attempt.decoder = this.numberOf(chosen.endpoint);
    attempt.prefiller = prefill === undefined ? -1 : this.numberOf(prefill.endpoint);
    this.#host.placed(attempt, decision);
    this.hints.placed(attempt.sim);
    this.#legs.begin(attempt, decision, (endpoint) => this.numberOf(endpoint));
  }

  /** Moves a call in two legs on. */
  #move(action: PdAction): void {
    const attempt = this.#byId(action.call);
    if (attempt !== undefined) this.#legs.move(attempt, action);
  }
}
