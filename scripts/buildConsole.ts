// Builds the web console and the page of the API into dist/console, from where the instance serves them. `npm ci` runs it (prepare), and a
// start runs it when they are absent. It prints nothing when it succeeds, since it is a small part of an installation. Without the
// development dependencies (`npm ci --omit=dev`) it cannot build. It says so and does not fail, because the API and the command line work
// without the console.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("..", import.meta.url);
const at = (path: string) => fileURLToPath(new URL(path, root));

/** Packages that the build needs, and that are installed with the development dependencies only. */
const needed = ["vite", "@vitejs/plugin-react", "react", "react-dom", "uplot", "@scalar/api-reference"];
const absent = needed.filter((name) => !existsSync(at(`node_modules/${name}/package.json`)));

if (absent.length > 0) {
  console.error(
    `The console was not built: ${absent.join(", ")} ${absent.length === 1 ? "is" : "are"} not installed. ` +
      "Run 'npm ci' without --omit=dev to have it. Everything else works without it.",
  );
} else if (!existsSync(at("src/console/index.html"))) {
  console.error("The console was not built: src/console is not part of this package.");
} else {
  const started = performance.now();
  const { build } = await import("vite");
  try {
    await build({ configFile: at("src/console/vite.config.ts"), logLevel: "warn" });
    if (process.stderr.isTTY) {
      console.error(`Console built in ${((performance.now() - started) / 1000).toFixed(1)} s.`);
    }
  } catch (error) {
    console.error(`The console could not be built: ${error instanceof Error ? error.message : String(error)}`);
    console.error(
      "Run 'bin/node scripts/buildConsole.ts' to see it alone. The API and the command line work without it.",
    );
    process.exitCode = 1;
  }
}
