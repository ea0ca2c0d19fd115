// Runs on Restate, and what to do when Restate forgets: it is an accelerator of what Postgres knows, never the other way round.
//
// Started again, moved or emptied, Restate is told everything anew from Postgres. A turn that is sent once too often finds nothing
// to do, so sending is always safe; a turn that was lost is found by the watchdog, because its run lies still.
import type { Logger } from "../../telemetry/index.ts";
import { limits } from "../limits.ts";
import type { Backlog } from "../backlog.ts";
import { RestateClient, RestateError, type HeldInvocation, type RestateAddress } from "./client.ts";
import { serveRuns, type EndpointOptions, type RunEndpoint } from "./endpoint.ts";

export interface DurableOptions {
  ingress: RestateAddress;
  admin: RestateAddress;
  /** True when Restate is our own child: whatever it holds for other addresses is dead. */
  embedded: boolean;
  /** Address at which a remote Restate reaches our endpoint; the code's version is appended as path. */
  advertisedUrl?: string;
  listen?: { host?: string; port?: number };
  identityKeys: string[];
  /** Gives Restate empty storage in place of its own, which is kept aside. Only of an embedded one. */
  replaceStorage?: () => Promise<void>;
}

/** Its log is lost, and its partitions are ahead of it: it starts, and serves no invocation any more. */
const isDamage = (error: unknown): boolean =>
  error instanceof RestateError && error.restateStatus === 500 && error.message.includes("partition store");

export class DurableRuns {
  readonly #client: RestateClient;
  readonly #options: DurableOptions;
  readonly #backlog: Backlog;
  readonly #advance: EndpointOptions["advance"];
  readonly #log: Logger;
  #endpoint: RunEndpoint | undefined;
  #deployment: string | undefined;
  /** Runs that were looked at, and until when they are left alone. */
  readonly #held = new Map<string, number>();
  /** Since when Restate has answered by its damage alone. */
  #damagedSinceMs: number | undefined;

  constructor(options: DurableOptions, parts: { backlog: Backlog; advance: EndpointOptions["advance"]; log: Logger }) {
    this.#options = options;
    this.#client = new RestateClient(options);
    this.#backlog = parts.backlog;
    this.#advance = parts.advance;
    this.#log = parts.log;
  }

  /** Serves the endpoint, registers it, and sends every unfinished run on its way. May be called again after it failed. */
  async start(): Promise<void> {
    const { identityKeys, listen } = this.#options;
    this.#endpoint ??= await serveRuns({
      advance: this.#advance,
      identityKeys,
      log: this.#log,
      ...(listen && { listen }),
    });
    await this.#register();
    await this.rebuild();
  }

  /** Sends a turn; a failure is left to the watchdog. */
  async send(run: string, delayMs = 0): Promise<void> {
    await this.#client.sendTurn(run, delayMs).catch((error: Error) => this.#log.warn({ run }, error.message));
  }

  /** Sends every unfinished run that Restate does not hold. Answers how many. */
  async rebuild(): Promise<number> {
    const unfinished = await this.#backlog.unfinished();
    if (unfinished.length === 0) return 0;
    const held = new Set((await this.#client.held()).map(({ run }) => run));
    let sent = 0;
    for (const { id, wakeInMs } of unfinished) {
      if (held.has(id)) continue;
      if (await this.#alone(id, () => this.#client.sendTurn(id, wakeInMs))) sent++;
    }
    if (sent > 0) this.#log.info({ runs: sent }, "unfinished runs were started again from Postgres");
    return sent;
  }

  /**
   * Whether an error says that Restate's storage is damaged. An embedded Restate that stays so for a while gets empty storage, because
   * every unfinished run can be started again from Postgres; then, and while it may still be starting, the caller tries again.
   */
  async heal(error: unknown): Promise<boolean> {
    const { replaceStorage } = this.#options;
    if (!isDamage(error) || !replaceStorage) return false;
    const now = Date.now();
    this.#damagedSinceMs ??= now;
    if (now - this.#damagedSinceMs < limits.restateDamagedMs) return true;
    this.#log.error("Restate's storage is damaged; it begins with an empty one, and runs go on from Postgres");
    await replaceStorage();
    this.#damagedSinceMs = undefined;
    this.#held.clear();
    return true;
  }

  /** One look of the watchdog. */
  async watch(active: string[]): Promise<void> {
    try {
      await this.#look(active);
      this.#damagedSinceMs = undefined;
    } catch (error) {
      if (!(await this.heal(error))) throw error;
    }
  }

  /** One look: is Restate still the one we registered with, and does it hold every run that should be going on? */
  async #look(active: string[]): Promise<void> {
    if (!(await this.#known())) {
      // Emptied, replaced, or restored from an older copy.
      this.#held.clear();
      await this.#register();
      await this.rebuild();
      return;
    }
    const now = Date.now();
    for (const [run, untilMs] of this.#held) if (untilMs <= now) this.#held.delete(run);
    const aside = [...active, ...this.#held.keys()];
    const still = await this.#backlog.still(limits.stillMs, limits.watchdogRuns, aside);
    if (still.length === 0) return;
    const held = new Map<string, HeldInvocation[]>();
    for (const invocation of await this.#client.held(still))
      held.set(invocation.run, [...(held.get(invocation.run) ?? []), invocation]);
    for (const run of still) {
      const invocations = held.get(run) ?? [];
      // Paused: Restate has given up. Pinned elsewhere: to an endpoint that is gone (embedded), or that will drain (remote).
      const dead = invocations.filter(
        ({ status, deployment }) =>
          status === "paused" || (this.#options.embedded && deployment !== null && deployment !== this.#deployment),
      );
      // Restate has it, and will send its turn: thousands that wait so are not asked for every second.
      if (dead.length < invocations.length) this.#held.set(run, now + limits.heldForMs);
      await this.#alone(run, async () => {
        for (const { id } of dead) await this.#client.kill(id);
        if (dead.length === invocations.length) await this.#client.sendTurn(run);
      });
    }
  }

  /** Work for one run; a refusal that concerns this run alone is logged, and the others go on. False when it was refused. */
  async #alone(run: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      if (!(error instanceof RestateError) || error.restateStatus === undefined || error.restateStatus >= 500)
        throw error;
      this.#log.warn({ run }, error.message);
      return false;
    }
  }

  async stop(): Promise<void> {
    await this.#endpoint?.close();
    await this.#client.close();
  }

  /** The deployment's id is made at random when it is registered: a Restate that does not know it is another one. */
  async #known(): Promise<boolean> {
    return (await this.#client.deployments()).some(({ id }) => id === this.#deployment);
  }

  async #register(): Promise<void> {
    const { advertisedUrl, embedded } = this.#options;
    const endpoint = this.#endpoint!;
    const uri = advertisedUrl ? `${advertisedUrl.replace(/\/+$/, "")}${endpoint.path}` : endpoint.url;
    this.#deployment = await this.#client.register(uri);
    const ours = uri.slice(0, uri.lastIndexOf("/") + 1);
    // A Restate that the user runs may hold deployments of other programs, which are left alone.
    const others = (await this.#client.deployments()).filter(
      ({ id, uri }) => id !== this.#deployment && (embedded || uri.startsWith(ours)),
    );
    if (others.length === 0) return;
    const held = await this.#client.held();
    if (embedded) {
      // Deployments of earlier starts have no process any more. Their runs are sent again to the endpoint of this process.
      for (const { id, deployment } of held)
        if (deployment !== null && deployment !== this.#deployment) await this.#client.kill(id);
    }
    const needed = new Set(embedded ? [] : held.map(({ deployment }) => deployment));
    for (const { id } of others)
      if (!needed.has(id))
        await this.#client
          .removeDeployment(id)
          .catch((error: RestateError) => this.#log.warn({ deployment: id }, error.message));
  }
}
