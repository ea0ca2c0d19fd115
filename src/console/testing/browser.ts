// The system's Chromium for the tests of the console. It is found by the variable CHROMIUM or at the usual paths, and started with a
// fresh profile and without its own requests to the network.
import { existsSync } from "node:fs";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";

const usualPaths = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/snap/bin/chromium"];

/** Path of a Chromium; undefined when the machine has none, and then the tests that need one are skipped. */
export const chromiumPath = [process.env["CHROMIUM"] ?? "", ...usualPaths].find(
  (path) => path !== "" && existsSync(path),
);

export function startBrowser(): Promise<Browser> {
  return chromium.launch({
    ...(chromiumPath !== undefined && { executablePath: chromiumPath }),
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

interface View {
  width: 1280 | 390;
  theme: "light" | "dark";
}
export const views: View[] = [
  { width: 1280, theme: "light" },
  { width: 1280, theme: "dark" },
  { width: 390, theme: "light" },
  { width: 390, theme: "dark" },
];

interface Visit extends AsyncDisposable {
  page: Page;
  context: BrowserContext;
  /** What the page complained about: uncaught errors, refused resources, requests to other hosts. */
  complaints: string[];
}

/** Opens a page in a fresh browser context, signed in when a key is given. */
export async function visit(browser: Browser, origin: string, view: View, key?: string): Promise<Visit> {
  const context = await browser.newContext({
    baseURL: origin,
    viewport: { width: view.width, height: view.width === 390 ? 844 : 860 },
    colorScheme: view.theme,
    deviceScaleFactor: view.width === 390 ? 2 : 1,
    reducedMotion: "reduce",
  });
  if (key !== undefined) {
    await context.addInitScript((secret) => sessionStorage.setItem("lineshaft.key", secret), key);
  }
  // For what must come true: a machine that stands still for seconds fails no test.
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    // Some tests provoke refused requests, and the page reports those itself.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "blob:" && url.origin !== new URL(origin).origin) complaints.push(`asked ${url.origin}`);
  });
  return { page, context, complaints, [Symbol.asyncDispose]: () => context.close() };
}

/** Texts that reach over the edge of their tile, table cell or button and would be cut. */
export const cutOff = (page: Page): Promise<string[]> =>
  page.evaluate(() => {
    const cut: string[] = [];
    for (const box of document.querySelectorAll(".figure, .button, td.right, .facts > div, .connect-facts > div")) {
      const edge = box.getBoundingClientRect();
      if (edge.width === 0) continue;
      for (const part of box.querySelectorAll("*")) {
        const { right, width } = part.getBoundingClientRect();
        const hidden = part.classList.contains("spoken") || part.closest(".command code") !== null;
        if (width > 0 && right > edge.right + 0.5 && !hidden) cut.push(`${box.className}: ${part.textContent}`);
      }
    }
    return cut;
  });

/** How many pixels the page is wider than its window. Only boxes that are made for it may scroll sideways. */
export const sideways = (page: Page): Promise<number> =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/**
 * What axe finds, by all its rules or by these, in one line each. Its legacy mode is enough for a document without frames, and twice as
 * fast.
 */
export async function findings(page: Page, rules?: string[]): Promise<string[]> {
  const axe = new AxeBuilder({ page }).setLegacyMode(true);
  const { violations } = await (rules === undefined ? axe : axe.withRules(rules)).analyze();
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}

/**
 * What is wrong with a screen of the console once it shows a text: it scrolls sideways, cuts a text, or axe finds something. The elements
 * are the same in both themes, so only their colours are checked in the dark one.
 */
export async function faultsOf(page: Page, path: string, shows: string): Promise<string[]> {
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto(`/console${path}`);
  await page.getByText(shows).first().waitFor();
  const overPx = await sideways(page);
  const faults = [
    ...(overPx > 0 ? [`scrolls sideways by ${overPx} pixels`] : []),
    ...(await cutOff(page)).map((what) => `cuts ${what}`),
    ...(await findings(page)),
  ];
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await findings(page, ["color-contrast", "link-in-text-block"]);
  return [...faults, ...dark.map((what) => `dark: ${what}`)];
}
