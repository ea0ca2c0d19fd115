// `lineshaft up`, the command of `npm start`: starts the instance, prints its address, and settles on Ctrl-C.
import type { Command } from "commander";
import { Home } from "../fleet/index.ts";
import type { Progress } from "../models/index.ts";
import { verb, type Context } from "./context.ts";
import { bytes, duration } from "./format.ts";
import type { Instance, StartReport } from "../instance/start.ts";
import { Kept } from "../instance/kept.ts";
import { readSettings } from "../instance/settings.ts";
import { version } from "./version.ts";

const redrawMs = 250;
const gatewaysVariable = "LINESHAFT_GATEWAYS";

export function registerUp(program: Command, context: Context): void {
  verb(program, "up", {
    about: "Start Lineshaft on LINESHAFT_HOME and keep it running until Ctrl-C",
    examples: ["npx lineshaft up --gateways 4", "npm start --silent -- --json"],
  })
    .option(
      "--gateways <n>",
      "processes that serve the address, with one set of budgets, keys and engines (LINESHAFT_GATEWAYS; 1)",
    )
    .option("--adopt", "make a copied home an instance of its own; unfinished runs of the original are stopped in it")
    .action(async (options: { json?: boolean; adopt?: boolean; gateways?: string }) => {
      const { terminal } = context;
      const env =
        options.gateways === undefined ? context.env : { ...context.env, [gatewaysVariable]: options.gateways };
      const begun = performance.now();
      const kept = new Kept(context.env);
      const interrupt = new Interrupt(context, kept);
      kept.watch(() => interrupt.begin());
      outliveOutput();
      const report = new StartProgress(context);
      let instance: Instance;
      try {
        // The rooms are imported only here, so that other verbs start without loading them.
        const { startInstance } = await import("../instance/start.ts");
        instance = await startInstance({
          settings: readSettings(env),
          home: Home.fromEnvironment(env),
          env,
          version,
          report,
          signal: interrupt.stopping,
          onKill: (kill) => interrupt.onSecond(kill),
          restarted: kept.restarted,
          adopt: options.adopt ?? false,
        });
      } catch (error) {
        if (!interrupt.stopping.aborted) throw error;
        process.exitCode = 130;
        return;
      } finally {
        report.end();
      }
      kept.ready();
      // The start's output has been printed already, so a restart reports on stderr that the instance is ready again.
      if (kept.restarted) terminal.note(`Lineshaft is ready again in ${duration(performance.now() - begun)}.`);
      else if (options.json) terminal.print(JSON.stringify(readyJson(instance)));
      else for (const line of readyLines(instance, performance.now() - begun)) terminal.print(line);
      await interrupt.stopped;
      const stopBegun = performance.now();
      if (!options.json) terminal.note("Stopping: calls under way are settled first. Ctrl-C again ends at once.");
      await stopInTime(instance, interrupt, context);
      if (!options.json) terminal.note(`Stopped in ${duration(performance.now() - stopBegun)}.`);
    });
}

/** Output errors are ignored: a closed terminal or a full disk under an output file must not end the instance. */
function outliveOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners("error").on("error", () => {});
}

/**
 * The JSON line for programs when the instance is ready. It has the owner key at the first start only, because the output of starts ends up
 * in logs.
 */
export function readyJson(instance: Pick<Instance, "address" | "key" | "consoleUrl" | "home" | "gateways">) {
  const { address, key, consoleUrl, home, gateways } = instance;
  return {
    address,
    console: consoleUrl,
    ...(gateways > 1 && { gateways }),
    credentials: key.state === "gone" ? null : home.credentialsPath,
    ...(key.state === "new" && { key: key.secret }),
  };
}

/** The steps of a stop are bounded each; this bounds the whole stop, in case something else hangs. */
async function stopInTime(instance: Instance, interrupt: Interrupt, context: Context): Promise<void> {
  const { forceMs } = await import("../instance/undo.ts");
  const force = setTimeout(() => {
    context.terminal.note("Ended by force: something did not answer. What was under way is settled at the next start.");
    interrupt.kill();
    process.exit(0);
  }, forceMs);
  await instance.stop();
  clearTimeout(force);
}

/** The text for people when the instance is ready: address, key, and three example commands that work unchanged. */
export function readyLines(
  instance: Pick<Instance, "address" | "key" | "consoleUrl" | "served" | "home" | "gateways">,
  tookMs: number,
): string[] {
  const { address, key, consoleUrl, served, home, gateways } = instance;
  const shownKey =
    key.state === "new"
      ? `${key.secret}  (shown this once, kept in ${home.credentialsPath})`
      : key.state === "kept"
        ? `kept in ${home.credentialsPath}`
        : "not kept here; `npx lineshaft keys create NAME --owner` makes another";
  const bearer = key.state === "new" ? key.secret : "$LINESHAFT_KEY";
  const writer = served.find(({ model }) => model.embeds !== true)?.name ?? "NAME";
  const body = `{"model":"${writer}","messages":[{"role":"user","content":"Name three metals."}]}`;
  return [
    "",
    `Lineshaft ${version} is ready in ${duration(tookMs)}.`,
    "",
    `  address  ${address}${gateways === 1 ? "" : `, served by ${gateways} processes`}`,
    `  key      ${shownKey}`,
    `  console  ${consoleUrl}`,
    ...served.map(servedLine),
    `  home     ${home.path}`,
    "",
    "Try, in another terminal:",
    `  curl ${address}/v1/chat/completions -H "authorization: Bearer ${bearer}" -H "content-type: application/json" -d '${body}'`,
    `  npx lineshaft call "Name three metals."`,
    `  npx lineshaft status`,
    "",
    "Ctrl-C stops it.",
  ];
}

/** "  model    smollm2-135m-instruct (98 MB, Apache-2.0), 2 workers". */
function servedLine({ name, model, workers }: Instance["served"][number]): string {
  const source = name === model.name ? "" : `${model.name}, `;
  return `  model    ${name} (${source}${bytes(model.bytes)}, ${model.licence})${workers === 1 ? "" : `, ${workers} workers`}`;
}

/** First SIGINT or SIGTERM: settle and stop. Second: end at once. */
class Interrupt {
  readonly #stop = new AbortController();
  readonly stopping = this.#stop.signal;
  readonly stopped: Promise<void>;
  #kill: () => void = () => {};

  readonly #kept: Kept;

  constructor(context: Context, kept: Kept) {
    this.#kept = kept;
    this.stopped = new Promise((resolve) => this.stopping.addEventListener("abort", () => resolve(), { once: true }));
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.removeAllListeners(name);
      process.on(name, () => {
        if (!this.stopping.aborted) return this.begin();
        this.#kill();
        context.terminal.note("Ended at once; what was under way is settled at the next start.");
        process.exit(130);
      });
    }
  }

  /** Settles and stops. */
  begin(): void {
    if (this.stopping.aborted) return;
    this.#kept.stopping();
    this.#stop.abort();
  }

  onSecond(kill: () => void): void {
    this.#kill = kill;
  }

  /** Ends every child at once. */
  kill(): void {
    this.#kill();
  }
}

/** Progress of a start: the current step and, for a download, its progress. Silent for the first two seconds. */
class StartProgress implements StartReport {
  readonly #terminal: Context["terminal"];
  readonly #begun = performance.now();
  readonly #line: ReturnType<Context["terminal"]["progress"]>;
  readonly #waitingFor = new Set<string>();
  #download: Progress | undefined;
  readonly #timer: NodeJS.Timeout;

  constructor(context: Context) {
    this.#terminal = context.terminal;
    this.#line = context.terminal.progress();
    this.#timer = setInterval(() => this.#draw(), redrawMs);
  }

  begin(what: string): void {
    this.#waitingFor.add(what);
  }

  done(what: string): void {
    this.#waitingFor.delete(what);
    if (what === "model") this.#download = undefined;
  }

  /** A download that has ended leaves the line to what is still starting. */
  download(progress: Progress): void {
    this.#download = progress.doneBytes === progress.totalBytes ? undefined : progress;
  }

  note(line: string): void {
    this.#terminal.note(line);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#line.done();
  }

  #draw(): void {
    const elapsed = duration(performance.now() - this.#begun);
    if (this.#download) this.#line.show(`${downloadLine(this.#download)} (${elapsed})`);
    else if (this.#waitingFor.size > 0) this.#line.show(`Starting ${[...this.#waitingFor].join(", ")} ... ${elapsed}`);
  }
}

/** "Downloading X: 31 MB of 98 MB, 12 MB/s, 6 s left". */
export function downloadLine(progress: Progress): string {
  const parts = [
    progress.totalBytes === undefined
      ? progress.doneBytes > 0 && bytes(progress.doneBytes)
      : `${bytes(progress.doneBytes)} of ${bytes(progress.totalBytes)}`,
    progress.bytesPerSecond !== undefined && `${bytes(progress.bytesPerSecond)}/s`,
    progress.secondsLeft !== undefined && `${duration(progress.secondsLeft * 1000)} left`,
  ].filter((part) => part !== false);
  return parts.length > 0 ? `${progress.what}: ${parts.join(", ")}` : progress.what;
}
