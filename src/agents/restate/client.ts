// What we ask of Restate: to invoke a run's turn, and through its admin API which deployments and invocations it holds.
// Over unix sockets (embedded) or URLs (remote); never through the egress, because it is a part of the house, like Postgres.
import { Pool } from "undici";
import { LineshaftError } from "../../errors/index.ts";

export type RestateAddress = { socket: string } | { url: string };

/** An invocation that is not completed, as Restate sees it. */
export interface HeldInvocation {
  id: string;
  /** Id of the run. */
  run: string;
  /** pending, scheduled, ready, running, backing-off, suspended, paused */
  status: string;
  /** Deployment it is pinned to, null before its first attempt. */
  deployment: string | null;
}

interface Deployment {
  id: string;
  uri: string;
}

/** Restate could not be reached, or refused a request. */
export class RestateError extends LineshaftError {
  /** The HTTP status of Restate's refusal; undefined when it could not be reached. Never the status of an answer of this API. */
  readonly restateStatus: number | undefined;

  constructor(message: string, restateStatus?: number, cause?: unknown) {
    super({ code: "restate_unavailable", message, cause });
    this.restateStatus = restateStatus;
  }
}

/** Names what is ours in a Restate that others may use too. */
export const serviceName = "LineshaftRun";

export class RestateClient {
  readonly #ingress: Pool;
  readonly #admin: Pool;

  constructor(at: { ingress: RestateAddress; admin: RestateAddress }) {
    this.#ingress = poolOf(at.ingress, 16);
    this.#admin = poolOf(at.admin, 4);
  }

  /** Whether both doors answer. */
  async healthy(): Promise<boolean> {
    try {
      await this.#ask(this.#admin, "GET", "/health", undefined, 2_000);
      await this.#ask(this.#ingress, "GET", "/restate/health", undefined, 2_000);
      return true;
    } catch {
      return false;
    }
  }

  /** Sends a turn of a run, now or later; resolves when Restate has it durably. */
  async sendTurn(run: string, delayMs = 0): Promise<void> {
    const delay = delayMs > 0 ? `?delay=${Math.ceil(delayMs)}ms` : "";
    await this.#ask(this.#ingress, "POST", `/${serviceName}/${run}/turn/send${delay}`, undefined, 10_000);
  }

  /** Registers an endpoint; the same address and code again is a no-op that answers the same deployment. */
  async register(uri: string): Promise<string> {
    const answer = (await this.#ask(this.#admin, "POST", "/deployments", { uri, force: true }, 30_000)) as {
      id: string;
    };
    return answer.id;
  }

  async deployments(): Promise<Deployment[]> {
    const { deployments } = (await this.#ask(this.#admin, "GET", "/deployments")) as {
      deployments: Partial<Deployment>[];
    };
    return deployments.map(({ id, uri }) => ({ id: id!, uri: uri ?? "" }));
  }

  async removeDeployment(id: string): Promise<void> {
    await this.#ask(this.#admin, "DELETE", `/deployments/${id}?force=true`);
  }

  /** Invocations of runs that are not completed; those of the given runs only, when given. */
  async held(runs?: string[]): Promise<HeldInvocation[]> {
    // Ids are letters, digits and one underscore; anything else is not asked for.
    const asked = runs?.filter((run) => /^[a-z0-9_]+$/.test(run)).map((run) => `'${run}'`);
    if (asked?.length === 0) return [];
    const { rows } = (await this.#ask(this.#admin, "POST", "/query", {
      query: `select id, target_service_key, status, pinned_deployment_id from sys_invocation
        where target_service_name = '${serviceName}' and status <> 'completed'
        ${asked ? `and target_service_key in (${asked.join(",")})` : ""}`,
    })) as { rows: Record<string, string | null>[] };
    return rows.map((row) => ({
      id: row["id"]!,
      run: row["target_service_key"]!,
      status: row["status"]!,
      deployment: row["pinned_deployment_id"] ?? null,
    }));
  }

  /** Ends an invocation without asking its handler. One that is gone already is fine. */
  async kill(invocation: string): Promise<void> {
    try {
      await this.#ask(this.#admin, "PATCH", `/invocations/${invocation}/kill`);
    } catch (error) {
      if (!(error instanceof RestateError) || (error.restateStatus !== 404 && error.restateStatus !== 409)) throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#ingress.destroy(), this.#admin.destroy()]);
  }

  async #ask(
    pool: Pool,
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    body?: unknown,
    timeoutMs = 10_000,
  ) {
    let status: number;
    let text: string;
    try {
      const answer = await pool.request({
        method,
        path,
        headers: { accept: "application/json", ...(body !== undefined && { "content-type": "application/json" }) },
        ...(body !== undefined && { body: JSON.stringify(body) }),
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
      });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (error) {
      throw new RestateError(`Restate cannot be reached: ${(error as Error).message}.`, undefined, error);
    }
    if (status >= 400)
      throw new RestateError(`Restate refused ${method} ${path} (${status}): ${text.slice(0, 300)}`, status);
    return text === "" ? undefined : (JSON.parse(text) as unknown);
  }
}

function poolOf(address: RestateAddress, connections: number): Pool {
  if ("url" in address) return new Pool(new URL(address.url).origin, { connections });
  return new Pool("http://localhost", { connections, connect: { socketPath: address.socket } });
}
