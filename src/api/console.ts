// The built files of the console and of the API's page. Vite puts a hash into the name of every asset, so browsers may keep assets for
// ever; the pages themselves are asked for again each time. Any other path under /console is a place inside the console and answers
// its page.
import { readFile, stat } from "node:fs/promises";
import { extname, join, normalize, sep } from "node:path";
import type { Context } from "hono";
import type { ApiApp } from "./apiApp.ts";
import type { ApiEnv } from "./helpers.ts";

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".json": "application/json; charset=utf-8",
  ".map": "application/json; charset=utf-8",
  ".txt": "text/plain; charset=utf-8",
};

/** Neither page loads anything from another host or runs in another page's frame. Styles may be inline, scripts may not. */
const consolePolicy =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'self'";
/** Scalar adds its styles to the page by script, which only 'unsafe-inline' allows. Styles cannot reach another host either. */
const docsPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const notBuilt = `<!doctype html><meta charset="utf-8"><title>Lineshaft</title>
<p>This page is not built yet. Run <code>npm run prepare</code>, then load this page again.</p>`;

export function consoleFiles(app: ApiApp, folder: string | undefined): void {
  app.public("/api/docs", async (c) => {
    const page = folder === undefined ? undefined : await read(join(folder, "reference.html"));
    const answer = page ? send(c, page, "reference.html") : c.html(notBuilt, 503);
    answer.headers.set("content-security-policy", docsPolicy);
    return answer;
  });
  app.public("/console", (c) => c.redirect("/console/"));
  app.public("/console/*", async (c) => {
    if (folder === undefined) return c.html(notBuilt, 503);
    const path = insideOf(folder, c.req.path.slice("/console/".length));
    const file = path === undefined ? undefined : await read(path);
    if (file) return send(c, file, path!);
    // A path with an extension names a file, which is missing. Any other path is a place inside the console.
    if (/\.[a-z0-9]{1,8}$/i.test(c.req.path)) return c.notFound();
    const page = await read(join(folder, "index.html"));
    return page ? send(c, page, "index.html") : c.html(notBuilt, 503);
  });
}

/** The path of a requested file. Undefined when dots, backslashes or percent signs in the request would lead out of the folder. */
function insideOf(folder: string, requested: string): string | undefined {
  let decoded: string;
  try {
    decoded = decodeURIComponent(requested);
  } catch {
    return undefined;
  }
  if (decoded.includes("\0") || decoded.includes("\\")) return undefined;
  const root = normalize(folder + sep);
  const path = normalize(join(root, decoded === "" ? "index.html" : decoded));
  return path.startsWith(root) ? path : undefined;
}

async function read(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    if (!(await stat(path)).isFile()) return undefined;
    return new Uint8Array(await readFile(path));
  } catch {
    return undefined;
  }
}

function send(c: Context<ApiEnv>, file: Uint8Array<ArrayBuffer>, path: string) {
  const kept = path.includes(`${sep}assets${sep}`);
  return c.body(file, 200, {
    "content-type": types[extname(path)] ?? "application/octet-stream",
    "cache-control": kept ? "public, max-age=31536000, immutable" : "no-cache",
    "content-security-policy": consolePolicy,
  });
}
