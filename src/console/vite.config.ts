// How the console becomes static files. Everything is served from the gateway's own address under /console, so the policy
// `default-src 'self'` holds: no inline script, no data URL, no other host.
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
  build: {
    outDir: fileURLToPath(new URL("../../dist/console", import.meta.url)),
    emptyOutDir: true,
    // Browsers with light-dark(), :has() and container queries: the colours are written once for both themes.
    target: ["chrome125", "safari17.5", "firefox126"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 1000,
  },
  server: {
    proxy: {
      // `LINESHAFT_URL` is a running instance or the fixture server of `testing/`.
      "/api": process.env["LINESHAFT_URL"] ?? "http://localhost:4070",
      "/v1": process.env["LINESHAFT_URL"] ?? "http://localhost:4070",
    },
  },
});
