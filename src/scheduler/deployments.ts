// The deployments that have calls: each has a fair queue, a placement rule and a measured rate of service. Here is what waits in them, and
// what gateways tell each other of it.
import type { Endpoints } from "./endpoints.ts";
import type { QueueNews } from "./news.ts";
import { ClassedQueue } from "./queue/classedQueue.ts";
import type { FairQueueOptions, Waiting } from "./queue/fairQueue.ts";
import { ServiceRate } from "./queue/promise.ts";
import type { Policy } from "./types.ts";

/** What calls of one deployment share. */
export interface Deployment {
  queue: ClassedQueue;
  policy: Policy;
  rate: ServiceRate;
  /** Whether endpoints have changed since all waiting calls were found to have one that may answer them. */
  changed: boolean;
}

/** A deployment's fair queue: calls that wait, and the tokens they will be charged. */
export interface DeploymentWaiting {
  name: string;
  policy: string;
  calls: number;
  tokens: number;
}

interface DeploymentOptions {
  policyOf: (deployment: string) => Policy;
  queue: FairQueueOptions;
}

export class Deployments {
  private readonly endpoints: Endpoints;
  private readonly options: DeploymentOptions;
  private readonly deployments = new Map<string, Deployment>();

  constructor(endpoints: Endpoints, options: DeploymentOptions) {
    this.endpoints = endpoints;
    this.options = options;
  }

  /** The deployment of this name; undefined before its first call. */
  get(name: string): Deployment | undefined {
    return this.deployments.get(name);
  }

  /** The deployment of this name, made when it is asked for first. */
  of(name: string): Deployment {
    let deployment = this.deployments.get(name);
    if (deployment === undefined) {
      const { queue, policyOf } = this.options;
      deployment = { queue: new ClassedQueue(queue), policy: policyOf(name), rate: new ServiceRate(1), changed: true };
      this.deployments.set(name, deployment);
    }
    return deployment;
  }

  entries(): IterableIterator<[string, Deployment]> {
    return this.deployments.entries();
  }

  queues(): ClassedQueue[] {
    return [...this.deployments.values()].map(({ queue }) => queue);
  }

  /** An endpoint of the deployment has joined, left, or has another health: waiting calls may be stalled by that. */
  endpointsChanged(name: string): void {
    const deployment = this.deployments.get(name);
    if (deployment !== undefined) deployment.changed = true;
  }

  /** What waits, by deployment. */
  waiting(): DeploymentWaiting[] {
    return [...this.deployments].map(([name, { queue, policy }]) => {
      return { name, policy: policy.name, calls: queue.size, tokens: queue.waitingTokens };
    });
  }

  /** A deployment's calls that wait, by program. */
  waitingPrograms(name: string): Map<string, Waiting[]> {
    const found = new Map<string, Waiting[]>();
    for (const waiting of this.deployments.get(name)?.queue.all() ?? []) {
      const { program } = waiting.call;
      if (program === undefined) continue;
      const calls = found.get(program);
      if (calls === undefined) found.set(program, [waiting]);
      else calls.push(waiting);
    }
    return found;
  }

  /** What other gateways are to be told of the queues. */
  news(now: number): QueueNews[] {
    return [...this.deployments].flatMap(([name, { queue }]) => {
      const news = queue.news(now);
      if (news.length === 0) return [];
      const endpoints = this.endpoints.ofDeployment(name).map(({ spec }) => spec.id);
      return news.map((one) => ({ endpoints, ...one }));
    });
  }

  /** What another gateway has told. Its queue and one here are for the same deployment when they have an endpoint in common. */
  hear(gateway: string, news: readonly QueueNews[], now: number): void {
    for (const [name, { queue }] of this.deployments) {
      const known = new Set(this.endpoints.ofDeployment(name).map(({ spec }) => spec.id));
      const own = news.filter(({ endpoints }) => endpoints.some((endpoint) => known.has(endpoint)));
      queue.hear(gateway, own, now);
    }
  }
}
