// How the console and the page of the API become static files. All of them are served by the instance under /console, so that a content
// security policy without other hosts and without inline scripts holds.
import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const here = fileURLToPath(new URL(".", import.meta.url));

export default defineConfig({
  root: here,
  base: "/console/",
  publicDir: false,
  plugins: [react()],
  logLevel: "warn",
  resolve: {
    alias: {
      // Scalar's own build for browsers holds all that it needs, so that none of its 28 dependencies is installed (overrides in
      // package.json).
      "@scalar/api-reference": fileURLToPath(
        new URL("../../node_modules/@scalar/api-reference/dist/browser/standalone.esm.js", import.meta.url),
      ),
    },
  },
  build: {
    rolldownOptions: { input: [`${here}index.html`, `${here}reference.html`] },
    outDir: fileURLToPath(new URL("../../dist/console", import.meta.url)),
    emptyOutDir: true,
    // Browsers with light-dark(), :has() and container queries: the colours are written once for both themes.
    target: ["chrome125", "safari17.5", "firefox126"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2500,
  },
  server: {
    proxy: {
      // `LINESHAFT_URL` is a running instance or the fixture server of `testing/`.
      "/api": process.env["LINESHAFT_URL"] ?? "http://localhost:4070",
      "/v1": process.env["LINESHAFT_URL"] ?? "http://localhost:4070",
    },
  },
});
