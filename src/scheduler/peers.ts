// What this gateway tells its peers, and what it makes of their messages: load, queues and programs. A deployment is known to both by an
// endpoint that both have.
import type { SchedulerAction } from "./actions.ts";
import type { Deployments } from "./deployments.ts";
import type { Endpoints } from "./endpoints.ts";
import { peerAliveMs } from "./limits.ts";
import type { LoadView } from "./load/loadView.ts";
import type { LoadMessage } from "./news.ts";
import type { Programs } from "./programs/programs.ts";

interface Told {
  endpoints: Endpoints;
  load: LoadView;
  deployments: Deployments;
  programs: Programs;
}

export class Peers {
  private readonly of: Told;
  private sharedMs = Number.NEGATIVE_INFINITY;
  /** Whether the last message said that calls wait. */
  private toldWaiting = false;

  constructor(of: Told) {
    this.of = of;
  }

  /** Sends peers what has changed, and at intervals that this gateway is alive. */
  share(now: number, actions: SchedulerAction[]): void {
    const { endpoints, load, deployments, programs } = this.of;
    const queues = deployments.news(now);
    // That nothing waits any more is told at once too.
    const waiting = queues.length > 0 || this.toldWaiting;
    const told = programs.news(now).map((news) => {
      const ids = endpoints.ofDeployment(news.deployment).map(({ spec }) => spec.id);
      return { endpoints: ids, programs: news.programs };
    });
    const message = load.message(now, waiting || told.length > 0 || now - this.sharedMs >= peerAliveMs);
    if (message === undefined) return;
    this.sharedMs = now;
    this.toldWaiting = queues.length > 0;
    actions.push({ type: "share_load", message: { ...message, queues, ...(told.length > 0 && { programs: told }) } });
  }

  /** Takes in a message of load; one of its own changes only the load. */
  hear(message: LoadMessage, now: number, actions: SchedulerAction[]): void {
    const { endpoints, load, deployments, programs } = this.of;
    load.receive(message, now);
    const { gateway, atMs } = message;
    if (gateway === load.gateway) return;
    if (message.queues !== undefined) deployments.hear(gateway, message.queues, now);
    for (const told of message.programs ?? []) {
      for (const endpoint of told.endpoints) {
        const deployment = endpoints.ranks(endpoint)[0]?.spec.deployment;
        if (deployment === undefined) continue;
        programs.hear(gateway, deployment, told.programs, atMs, now, actions);
        break;
      }
    }
  }
}
