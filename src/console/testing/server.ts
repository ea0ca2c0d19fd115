// A server that answers as a running instance does, from a fixture: for working on the console without an engine, and for
// the tests of states that a real instance shows rarely (a lost connection, an empty organisation, a stream that breaks).
// Every answer is checked against the API's schemas before it is sent.
//
//   bin/node src/console/testing/server.ts [--port 4170] [--empty] [--live]
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";
import type { z } from "zod";
import * as schemas from "../../contract/index.ts";
import type { LiveEvent } from "../../contract/index.ts";
import { newId } from "../../store/ids.ts";
import { makeCall } from "./fixtureCalls.ts";
import { countRuns } from "./fixtureRuns.ts";
import { billOf, overviewOf } from "./fixtureSums.ts";
import { currency } from "./fixtureWords.ts";
import { makeFixture, type Fixture } from "./fixture.ts";
import { seeded } from "./random.ts";
import { Answer, bodyOf, found, page, pause, serveFile } from "./serverAnswers.ts";

export const fixtureKey = "ls_fixture_owner_key";

export interface FixtureServer {
  url: string;
  fixture: Fixture;
  /** Sends an event to every open console, and keeps the fixture in step. */
  emit(event: LiveEvent): void;
  /** Ends all event streams, as a restart of the gateway does; `refuse` keeps new ones out. */
  cut(refuse: boolean): void;
  /** A call as the gateway would record it now. */
  newCall(): schemas.CallDetail;
  /** The next chat breaks off after some words. */
  breakNextChat(): void;
  close(): Promise<void>;
}

export async function startFixtureServer(options: { fixture?: Fixture; port?: number } = {}): Promise<FixtureServer> {
  const fixture = options.fixture ?? makeFixture();
  const random = seeded(99);
  const streams = new Set<ServerResponse>();
  const kept: { id: number; text: string }[] = [];
  let eventId = 0;
  let refusing = false;
  let breaking = false;

  const emit = (event: LiveEvent) => {
    schemas.liveEvent.parse(event);
    const text = `id: ${++eventId}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
    kept.push({ id: eventId, text });
    if (kept.length > 500) kept.shift();
    for (const stream of streams) stream.write(text);
  };

  const listen = (request: IncomingMessage, response: ServerResponse) => {
    if (refusing) throw new Answer(503, "starting", "Lineshaft is starting.");
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write(": here\n\n");
    const since = Number(request.headers["last-event-id"] ?? Number.NaN);
    if (Number.isFinite(since)) for (const { id, text } of kept) if (id > since) response.write(text);
    streams.add(response);
    response.on("close", () => streams.delete(response));
  };

  const chat = async (body: Record<string, unknown>, response: ServerResponse) => {
    const model = String(body["model"]);
    if (!fixture.status.deployments.some((each) => each.name === model))
      throw new Answer(404, "model_not_found", `No model is called ${model}.`, "See GET /v1/models.");
    const messages = body["messages"] as { content: string }[];
    const words =
      "The spindle runs at 1,332 rpm, below its limit of 1,380 rpm, while air and process differ by only 8.1 K. Both together point to **heat dissipation**: the coolant does not carry away what the cut produces.\n\nI would check, in this order:\n\n1. the coolant level and its filter,\n2. the fan of the cabinet,\n3. the feed rate of the last program.".split(
        /(?<= )/,
      );
    const prompt = 40 + messages.reduce((sum, message) => sum + Math.ceil(String(message.content).length / 4), 0);
    const cached = messages.length > 1 ? Math.floor(prompt / 64) * 64 : 0;
    const call = makeCall(random, {
      at: Date.now(),
      model,
      key: fixture.keys[0]!.id,
      status: "completed",
      prompt,
      output: words.length,
    });
    const id = call.id;
    response.writeHead(200, {
      "content-type": "text/event-stream",
      "x-request-id": newId("req"),
      "x-lineshaft-call": id,
    });
    const chunk = (delta: unknown, finish: string | null = null) =>
      response.write(
        `data: ${JSON.stringify({ id, object: "chat.completion.chunk", created: Math.floor(Date.now() / 1000), model, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`,
      );
    await pause(60);
    chunk({ role: "assistant", content: "" });
    for (const [index, word] of words.entries()) {
      if (response.destroyed) return;
      if (breaking && index === 9) {
        breaking = false;
        response.destroy();
        return;
      }
      chunk({ content: word });
      await pause(18);
    }
    chunk({}, "stop");
    response.write(
      `data: ${JSON.stringify({ id, object: "chat.completion.chunk", created: 0, model, choices: [], usage: { prompt_tokens: prompt, completion_tokens: words.length, total_tokens: prompt + words.length, prompt_tokens_details: { cached_tokens: cached } } })}\n\n`,
    );
    response.end("data: [DONE]\n\n");
    fixture.calls.unshift(call);
    const { attempts: _, ...row } = call;
    emit({ type: "call", call: row });
  };

  const json = (response: ServerResponse, schema: z.ZodType, value: unknown, status = 200) => {
    const text = JSON.stringify(schema.parse(value));
    response.writeHead(status, { "content-type": "application/json", "x-request-id": newId("req") });
    response.end(text);
  };

  const route = async (request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> => {
    if (request.headers.authorization !== `Bearer ${fixtureKey}`)
      throw new Answer(
        401,
        "invalid_key",
        "This key is not known here.",
        "Look at ~/.lineshaft/credentials, or make one with `lineshaft keys create`.",
      );
    const query = url.searchParams;
    const [, , resource, id, verb] = url.pathname.split("/");
    const name = id === undefined ? undefined : decodeURIComponent(id);
    const method = request.method ?? "GET";
    if (url.pathname === "/v1/chat/completions") return chat(await bodyOf(request), response);
    switch (`${method} ${resource}`) {
      case "GET events":
        return listen(request, response);
      case "GET status":
        return json(response, schemas.status, fixture.status);
      case "GET overview":
        return json(response, schemas.overview, overviewOf(fixture, query.get("range") ?? "24h", Date.now()));
      case "GET bill":
        return json(
          response,
          schemas.bill,
          billOf(
            fixture,
            Date.parse(query.get("from") ?? "") || fixture.now - 40 * 86_400_000,
            Date.parse(query.get("to") ?? "") || Date.now(),
          ),
        );
      case "GET calls": {
        if (name !== undefined)
          return json(
            response,
            schemas.callDetail,
            found(
              fixture.calls.find((call) => call.id === name),
              "call",
              name,
            ),
          );
        const rows = fixture.calls.filter((call) =>
          ["status", "model", "run", "agent"].every(
            (field) => !query.has(field) || query.get(field) === call[field as "status"],
          ),
        );
        return json(response, schemas.pageOf(schemas.call), page(rows, query));
      }
      case "GET runs": {
        if (name !== undefined)
          return json(
            response,
            schemas.runDetail,
            found(
              fixture.runs.find((run) => run.id === name),
              "run",
              name,
            ),
          );
        const rows = fixture.runs.filter((run) =>
          ["status", "agent"].every((field) => !query.has(field) || query.get(field) === run[field as "status"]),
        );
        return json(response, schemas.pageOf(schemas.run), page(rows, query));
      }
      case "POST runs": {
        if (verb === "stop") {
          const run = found(
            fixture.runs.find((each) => each.id === name),
            "run",
            name!,
          );
          Object.assign(run, {
            status: "stopped",
            error_code: "stopped",
            error_message: "Stopped by key first owner.",
            ended_at: new Date().toISOString(),
          });
          emit({ type: "run", run: schemas.run.parse(run) });
          return json(response, schemas.run, run);
        }
        const wish = schemas.runCreate.parse(await bodyOf(request));
        const template = found(
          fixture.runs.find((run) => run.agent === wish.agent && run.status === "completed"),
          "agent",
          wish.agent,
        );
        const now = new Date().toISOString();
        const run = {
          ...structuredClone(template),
          id: newId("run"),
          status: "queued" as const,
          input: wish.input,
          output: null,
          outcome: null,
          steps: 0,
          step_list: [],
          queued_ms: 0,
          waits: [],
          cost_nano: "0",
          prompt_tokens: 0,
          cached_tokens: 0,
          output_tokens: 0,
          created_at: now,
          started_at: null,
          ended_at: null,
        };
        fixture.runs.unshift(run);
        emit({ type: "run", run: schemas.run.parse(run) });
        return json(response, schemas.run, run, 201);
      }
      case "GET agents":
        for (const agent of fixture.agents) countRuns(agent, fixture.runs);
        if (name !== undefined)
          return json(
            response,
            schemas.agentDetail,
            found(
              fixture.agents.find((agent) => agent.name === name),
              "agent",
              name,
            ),
          );
        return json(response, schemas.pageOf(schemas.agentSummary), { data: fixture.agents, next_cursor: null });
      case "GET search": {
        const q = query.get("q") ?? "";
        const data = [
          ...fixture.agents
            .filter((agent) => agent.name.includes(q))
            .map(({ id, name }) => ({ kind: "agent", id, name })),
          ...fixture.runs
            .filter((run) => run.id.startsWith(q))
            .map(({ id, agent }) => ({ kind: "run", id, name: agent })),
          ...fixture.calls
            .filter((call) => call.id.startsWith(q))
            .map(({ id, model }) => ({ kind: "call", id, name: model })),
        ];
        return json(response, schemas.searchResults, { data: data.slice(0, 20) });
      }
      case "GET engines":
        return json(response, schemas.pageOf(schemas.engine), { data: fixture.engines, next_cursor: null });
      case "GET keys":
        return json(response, schemas.pageOf(schemas.key), { data: fixture.keys, next_cursor: null });
      case "POST keys": {
        const wish = schemas.keyCreate.parse(await bodyOf(request));
        const made = {
          id: newId("key"),
          ...wish,
          project: "default",
          created_at: new Date().toISOString(),
          revoked_at: null,
        };
        fixture.keys.unshift(made);
        return json(
          response,
          schemas.keyCreated,
          { ...made, secret: `ls_${newId("key").slice(4)}${newId("key").slice(4)}` },
          201,
        );
      }
      case "DELETE keys": {
        const key = found(
          fixture.keys.find((each) => each.id === name),
          "key",
          name!,
        );
        key.revoked_at = new Date().toISOString();
        return json(response, schemas.key, key);
      }
      case "GET budgets":
        return json(response, schemas.pageOf(schemas.budget), { data: fixture.budgets, next_cursor: null });
      case "PUT budgets": {
        const wish = schemas.budgetSet.parse(await bodyOf(request));
        const old = fixture.budgets.find(
          (each) => each.scope.kind === wish.scope.kind && each.scope.id === wish.scope.id,
        );
        const set = {
          id: old?.id ?? newId("bud"),
          scope: { name: wish.scope.id, ...old?.scope, ...wish.scope },
          currency,
          period: wish.period,
          limit_nano: wish.limit_nano,
          spent_nano: old?.spent_nano ?? "0",
          held_nano: "0",
          left_nano: String(BigInt(wish.limit_nano) - BigInt(old?.spent_nano ?? 0)),
          resets_at: null,
        };
        fixture.budgets = [...fixture.budgets.filter((each) => each !== old), set];
        return json(response, schemas.budget, set);
      }
      case "DELETE alarms":
        fixture.status.alarms = fixture.status.alarms.filter((each) => each.id !== name);
        response.writeHead(204).end();
        return;
      case "DELETE budgets":
        fixture.budgets = fixture.budgets.filter((each) => each.id !== name);
        response.writeHead(204).end();
        return;
      default:
        throw new Answer(404, "not_found", `Nothing is at ${url.pathname}.`);
    }
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://fixture");
    const work =
      url.pathname.startsWith("/api/") || url.pathname.startsWith("/v1/")
        ? route(request, response, url)
        : serveFile(url.pathname, response);
    work.catch((error: unknown) => {
      if (response.headersSent) return void response.destroy();
      const answer = error instanceof Answer ? error : new Answer(500, "fixture_failed", String(error));
      response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(answer.body));
    });
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve));
  const address = server.address() as { port: number };

  return {
    url: `http://127.0.0.1:${address.port}`,
    fixture,
    emit,
    cut: (refuse) => {
      refusing = refuse;
      for (const stream of streams) stream.destroy();
    },
    newCall: () => {
      const call = makeCall(random, {
        at: Date.now() - 400,
        model: fixture.status.deployments[0]!.name,
        key: fixture.keys[0]!.id,
        status: "completed",
      });
      fixture.calls.unshift(call);
      return call;
    },
    breakNextChat: () => {
      breaking = true;
    },
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { port: { type: "string", default: "4170" }, empty: { type: "boolean" }, live: { type: "boolean" } },
  });
  const fixture = makeFixture(values.empty ? { calls: 0, runs: 0 } : {});
  if (values.empty) Object.assign(fixture, { agents: [], budgets: [] });
  const server = await startFixtureServer({ fixture, port: Number(values.port) });
  console.log(`${server.url}/console/  key: ${fixtureKey}`);
  if (values.live) {
    setInterval(() => {
      const { attempts: _, ...call } = server.newCall();
      server.emit({ type: "call", call });
    }, 2_500);
  }
}
