// The command line: one program, one file per group of verbs, one place where errors become lines and exit codes.
import { Command, CommanderError } from "commander";
import { registerAgents } from "./agents.ts";
import { registerAlarms } from "./alarms.ts";
import { registerBackup } from "./backup.ts";
import { registerBatches } from "./batches.ts";
import { registerBill } from "./bill.ts";
import { registerBudgets } from "./budgets.ts";
import { registerCalibrate } from "./calibrate.ts";
import { registerCall } from "./call.ts";
import { makeContext, withExamples, type Context } from "./context.ts";
import { registerDeploy } from "./deploy.ts";
import { registerDeployments } from "./deployments.ts";
import { registerDoctor } from "./doctor.ts";
import { registerEngines } from "./engines.ts";
import { printError } from "./errors.ts";
import { registerFiles } from "./files.ts";
import { registerKeys } from "./keys.ts";
import { registerLimits } from "./limits.ts";
import { registerModels } from "./models.ts";
import { registerPrices } from "./prices.ts";
import { registerProve } from "./prove.ts";
import { registerResponseStorage } from "./responseStorage.ts";
import { registerRoutes } from "./routes.ts";
import { registerRuns } from "./runs.ts";
import { registerSecrets } from "./secrets.ts";
import { registerSimulate } from "./simulate.ts";
import { registerStatus } from "./status.ts";
import { Terminal } from "./terminal.ts";
import { registerUp } from "./up.ts";
import { version } from "./version.ts";

export function buildProgram(context: Context): Command {
  const { terminal } = context;
  const program = new Command("lineshaft")
    .description(
      "The open AI cloud for agents that you run yourself: from chips to tokens, to agents' work, to billed results.",
    )
    .version(version)
    .helpCommand("help [command]", "show help of a command")
    .showSuggestionAfterError(true)
    .showHelpAfterError("  next: Add --help to see what it takes.")
    .configureOutput({
      writeOut: (text) => terminal.stdout.write(text),
      writeErr: (text) => terminal.stderr.write(text),
    })
    .exitOverride();
  withExamples(program, ["npm start", 'npx lineshaft call "Name three metals."']);
  registerUp(program, context);
  registerStatus(program, context);
  registerAlarms(program, context);
  registerDoctor(program, context);
  registerModels(program, context);
  registerEngines(program, context);
  registerPrices(program, context);
  registerRoutes(program, context);
  registerCall(program, context);
  registerBatches(program, context);
  registerFiles(program, context);
  registerResponseStorage(program, context);
  registerKeys(program, context);
  registerBudgets(program, context);
  registerLimits(program, context);
  registerSecrets(program, context);
  registerDeploy(program, context);
  registerDeployments(program, context);
  registerAgents(program, context);
  registerRuns(program, context);
  registerBill(program, context);
  registerProve(program, context);
  registerBackup(program, context);
  registerSimulate(program, context);
  registerCalibrate(program, context);
  return program;
}

/** Runs one command line and returns its exit code. */
export async function main(words: string[], context: Context): Promise<number> {
  try {
    const program = buildProgram(context);
    // Without arguments the help is printed.
    if (words.length === 0) program.help();
    await program.parseAsync(words, { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    // Commander has printed the error itself; help and version end with 0, wrong usage with 2.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (context.signal.aborted) return 130;
    return printError(error, context.terminal);
  }
}

if (import.meta.main) {
  const interrupt = new AbortController();
  const interrupted = () => interrupt.abort();
  // `up` replaces these handlers with its own, which settle first.
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  // A reader that closes the pipe (`| head`) ends the output. That is not a failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
  // An explicit exit, because a pooled connection of a room must not keep a finished command alive.
  process.exit(await main(process.argv.slice(2), makeContext(new Terminal(), interrupt.signal)));
}
